# The tag that jumps are thrown with: it carries an address. C has no way to define one.
	.tagtype __c_longjmp i32
	.globl __c_longjmp
__c_longjmp:
