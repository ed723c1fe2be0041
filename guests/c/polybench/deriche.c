/* deriche: Deriche's recursive edge filter on an image, rows, then columns. */
#include "../guest.h"

enum { W = SIZE(48, 960), H = SIZE(32, 720) };

/* The exponential function of the suite: the libraries' own ones differ in the last bit. */
static double exponential(double x) {
    double term = 1, sum = 1;
    for (int i = 1; i < 30; i++) {
        term *= x / i;
        sum += term;
    }
    return sum;
}

NOINLINE static void kernel(double alpha, double (*in)[H], double (*out)[H], double (*y1)[H], double (*y2)[H]) {
    double once = exponential(-alpha);
    double twice = exponential(-2 * alpha);
    double k = (1 - once) * (1 - once) / (1 + 2 * alpha * once - twice);
    double a1 = k, a2 = k * once * (alpha - 1), a3 = k * once * (alpha + 1), a4 = -k * twice;
    double b1 = 2 * once, b2 = -twice;

    for (int i = 0; i < W; i++) {
        double before = 0, beyond = 0, input = 0;
        for (int j = 0; j < H; j++) {
            y1[i][j] = a1 * in[i][j] + a2 * input + b1 * before + b2 * beyond;
            input = in[i][j];
            beyond = before;
            before = y1[i][j];
        }
    }
    for (int i = 0; i < W; i++) {
        double after = 0, beyond = 0, input = 0, further = 0;
        for (int j = H - 1; j >= 0; j--) {
            y2[i][j] = a3 * input + a4 * further + b1 * after + b2 * beyond;
            further = input;
            input = in[i][j];
            beyond = after;
            after = y2[i][j];
        }
    }
    for (int i = 0; i < W; i++)
        for (int j = 0; j < H; j++) out[i][j] = y1[i][j] + y2[i][j];
    for (int j = 0; j < H; j++) {
        double before = 0, beyond = 0, input = 0;
        for (int i = 0; i < W; i++) {
            y1[i][j] = a1 * out[i][j] + a2 * input + b1 * before + b2 * beyond;
            input = out[i][j];
            beyond = before;
            before = y1[i][j];
        }
    }
    for (int j = 0; j < H; j++) {
        double after = 0, beyond = 0, input = 0, further = 0;
        for (int i = W - 1; i >= 0; i--) {
            y2[i][j] = a3 * input + a4 * further + b1 * after + b2 * beyond;
            further = input;
            input = out[i][j];
            beyond = after;
            after = y2[i][j];
        }
    }
    for (int i = 0; i < W; i++)
        for (int j = 0; j < H; j++) out[i][j] = y1[i][j] + y2[i][j];
}

int main(void) {
    MATRIX(in, W, H);
    MATRIX(out, W, H);
    MATRIX(y1, W, H);
    MATRIX(y2, W, H);
    for (int i = 0; i < W; i++)
        for (int j = 0; j < H; j++) in[i][j] = fraction(313 * i + 991 * j, 65536);
    kernel(0.25, in, out, y1, y2);
    return RESULT_MATRIX(out, W, H);
}
