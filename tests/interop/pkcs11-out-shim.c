/* A PKCS#11 module in front of another one, that misbehaves as its control file says. For tests only. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG (*function)();

/* CK_FUNCTION_LIST of version 2.40: a version and 68 pointers in the standard's order. */
struct list {
  unsigned char version[2];
  function call[68];
};
enum { INITIALIZE = 0, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, LOGIN = 18, FIND_OBJECTS_INIT = 26, ENCRYPT = 30, SIGN = 43 };

static struct list *real, own;

/* First byte of the control file: what to do next. A capital letter is done once and then is '-'. */
static char wanted(void) {
  char action = '-';
  const char *path = getenv("SHIM_CONTROL");
  int file = path == NULL ? -1 : open(path, O_RDWR);
  if (file < 0) return '-';
  if (read(file, &action, 1) != 1) action = '-';
  if (action >= 'A' && action <= 'Z' && pwrite(file, "-", 1, 0) != 1) abort();
  close(file);
  return action;
}

static void count(const char *what) {
  const char *path = getenv("SHIM_COUNTS");
  FILE *file = path == NULL ? NULL : fopen(path, "a");
  if (file == NULL) return;
  fprintf(file, "%s\n", what);
  fclose(file);
}

static CK_ULONG misbehave(char action) {
  switch (action) {
    case 's': case 'S': for (;;) sleep(3600);
    case 'c': case 'C': abort();
    case 'x': case 'X': _exit(3);
    case 'e': case 'E': return 0x30; /* CKR_DEVICE_ERROR */
    case 'r': return 0x32; /* CKR_DEVICE_REMOVED */
    case 'H': return 0xb3; /* CKR_SESSION_HANDLE_INVALID */
    case 'L': return 0x101; /* CKR_USER_NOT_LOGGED_IN */
    case 'V': return 0x80001234; /* a vendor's own */
    default: return 0;
  }
}

static CK_ULONG initialize(void *arguments) {
  char action = wanted();
  count("initialize");
  if (action == 'i') for (;;) sleep(3600);
  if (action == 'I') abort();
  return real->call[INITIALIZE](arguments);
}

static CK_ULONG get_slot_list(unsigned char present, void *slots, CK_ULONG *number) {
  if (wanted() == 'r') {
    *number = 0;
    return 0;
  }
  return real->call[GET_SLOT_LIST]((CK_ULONG)present, slots, number);
}

static CK_ULONG get_token_info(CK_ULONG slot, void *info) {
  if (wanted() == 'r') return 0xe0; /* CKR_TOKEN_NOT_PRESENT */
  return real->call[GET_TOKEN_INFO](slot, info);
}

static CK_ULONG login(CK_ULONG session, CK_ULONG user, void *pin, CK_ULONG length) {
  count("login");
  return real->call[LOGIN](session, user, pin, length);
}

static CK_ULONG find_objects_init(CK_ULONG session, void *wanted_attributes, CK_ULONG number) {
  count("search");
  return real->call[FIND_OBJECTS_INIT](session, wanted_attributes, number);
}

/* Whether to say that all is well, of three bytes or of more than there is room for. */
static int lies(char action, CK_ULONG *size) {
  if (action != 'T' && action != 'Z') return 0;
  *size = action == 'T' ? 3 : 1UL << 40;
  return 1;
}

static CK_ULONG sign(CK_ULONG session, void *data, CK_ULONG length, void *signature, CK_ULONG *size) {
  char action = wanted();
  if (lies(action, size)) return 0;
  CK_ULONG answer = misbehave(action);
  return answer != 0 ? answer : real->call[SIGN](session, data, length, signature, size);
}

static CK_ULONG encrypt(CK_ULONG session, void *data, CK_ULONG length, void *text, CK_ULONG *size) {
  return lies(wanted(), size) ? 0 : real->call[ENCRYPT](session, data, length, text, size);
}

CK_ULONG C_GetFunctionList(struct list **functions) {
  void *library = dlopen(getenv("SHIM_TARGET"), RTLD_NOW | RTLD_LOCAL);
  CK_ULONG (*get)(struct list **) = library == NULL ? NULL : (CK_ULONG (*)(struct list **))dlsym(library, "C_GetFunctionList");
  if (get == NULL || get(&real) != 0) return 5;
  own = *real;
  own.call[INITIALIZE] = (function)initialize;
  own.call[GET_SLOT_LIST] = (function)get_slot_list;
  own.call[GET_TOKEN_INFO] = (function)get_token_info;
  own.call[LOGIN] = (function)login;
  own.call[FIND_OBJECTS_INIT] = (function)find_objects_init;
  own.call[ENCRYPT] = (function)encrypt;
  own.call[SIGN] = (function)sign;
  *functions = &own;
  return 0;
}
