/* With CRYPTO defined: a library of the name and one function of OpenSSL 1.1. Without: a PKCS#11 module that is linked to it and starts
   only where that library's function is called. For tests only. */
#ifdef CRYPTO
unsigned long OpenSSL_version_num(void) { return 0x1010117fUL; }
#else
#include <string.h>
typedef unsigned long CK_ULONG;
typedef CK_ULONG (*function)();
extern unsigned long OpenSSL_version_num(void);

/* CK_FUNCTION_LIST of version 2.40: a version and 68 pointers in the standard's order. */
static struct list {
  unsigned char version[2];
  function call[68];
} own;
enum { INITIALIZE = 0, FINALIZE = 1, GET_INFO = 2, GET_FUNCTION_LIST = 3, GET_SLOT_LIST = 4 };

static CK_ULONG missing(void) { return 0x54; /* CKR_FUNCTION_NOT_SUPPORTED */ }
static CK_ULONG initialize(void *arguments) {
  return OpenSSL_version_num() >> 28 == 1 ? 0 : 0x32; /* CKR_DEVICE_REMOVED */
}
static CK_ULONG fine(void) { return 0; }
static CK_ULONG info(void *answer) {
  memset(answer, ' ', 80); /* at least: two texts of 32 bytes, flags and two versions */
  return 0;
}
static CK_ULONG slots(unsigned char present, CK_ULONG *list, CK_ULONG *count) {
  *count = 0;
  return 0;
}

CK_ULONG C_GetFunctionList(struct list **answer) {
  own.version[0] = 2;
  own.version[1] = 40;
  for (int i = 0; i < 68; i++) own.call[i] = missing;
  own.call[INITIALIZE] = initialize;
  own.call[FINALIZE] = fine;
  own.call[GET_INFO] = info;
  own.call[GET_FUNCTION_LIST] = (function)C_GetFunctionList;
  own.call[GET_SLOT_LIST] = slots;
  *answer = &own;
  return 0;
}
#endif
