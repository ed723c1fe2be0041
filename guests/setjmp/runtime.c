/* What clang calls for `setjmp` and `longjmp` (`-wasm-enable-sjlj`).
 *
 * A function with a `setjmp` becomes a loop around its own body, with every call after the `setjmp` in a `try_table`.
 * A jump throws the tag `__c_longjmp` with the address of `thrown`; whoever catches it asks by
 * `__wasm_setjmp_test` which of its calls of `setjmp` is meant, and throws it again if none is.
 */
#include "setjmp.h"

/* The tag's index for `__builtin_wasm_throw`, fixed by clang. */
enum { C_LONGJMP = 1 };

void __wasm_setjmp(void *to, unsigned call, void *activation);
unsigned __wasm_setjmp_test(void *to, void *activation);
_Noreturn void __wasm_longjmp(void *to, int value);

void __wasm_setjmp(void *to, unsigned call, void *activation) {
    jmp_buf *buffer = to;
    (*buffer)->activation = activation;
    (*buffer)->call = call;
}

unsigned __wasm_setjmp_test(void *to, void *activation) {
    jmp_buf *buffer = to;
    return (*buffer)->activation == activation ? (*buffer)->call : 0;
}

void __wasm_longjmp(void *to, int value) {
    jmp_buf *buffer = to;
    (*buffer)->thrown.to = to;
    (*buffer)->thrown.value = value != 0 ? value : 1;
    __builtin_wasm_throw(C_LONGJMP, &(*buffer)->thrown);
}
