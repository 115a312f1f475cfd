/*
 * Loads a PKCS#11 module and signs with it, from one thread or from many threads and processes: the same loop for every
 * module that is compared. Types are written out so that no PKCS#11 header is needed.
 *
 *   pkcs11 make MODULE TOKEN PIN-FILE LABEL rsa|ec
 *   pkcs11 sign MODULE TOKEN PIN-FILE LABEL MECHANISM PROCESSES THREADS WARM-UP-SECONDS SECONDS
 *
 * `sign` prints {"operations":…,"seconds":…,"p50Us":…,"p99Us":…,"cpuUs":…}, the last for one operation: C_SignInit and C_Sign of 32 bytes together are one operation.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long ulong_t;
typedef struct {
  ulong_t type;
  void *value;
  ulong_t length;
} attribute;
typedef struct {
  ulong_t type;
  void *parameter;
  ulong_t length;
} mechanism;
/* CK_FUNCTION_LIST: a version, then the functions in the order of the standard. */
typedef struct {
  unsigned char version[2];
  void *call[68];
} function_list;
typedef struct {
  void *create, *destroy, *lock, *unlock;
  ulong_t flags;
  void *reserved;
} initialize_args;
typedef struct {
  unsigned char label[32], maker[32], model[16], serial[16];
  ulong_t numbers[11];
  unsigned char versions[4], time[16];
} token_info;

enum {
  INITIALIZE = 0,
  GET_SLOT_LIST = 4,
  GET_TOKEN_INFO = 6,
  OPEN_SESSION = 12,
  LOGIN = 18,
  FIND_INIT = 26,
  FIND = 27,
  FIND_FINAL = 28,
  SIGN_INIT = 42,
  SIGN = 43,
  GENERATE_PAIR = 59
};
enum { OS_LOCKING = 2, SERIAL_RW = 6, USER = 1, ALREADY_LOGGED_IN = 0x100, PRIVATE_KEY = 3 };

typedef ulong_t (*fn0)(void *);
typedef ulong_t (*fn_slots)(unsigned char, ulong_t *, ulong_t *);
typedef ulong_t (*fn_token)(ulong_t, token_info *);
typedef ulong_t (*fn_open)(ulong_t, ulong_t, void *, void *, ulong_t *);
typedef ulong_t (*fn_login)(ulong_t, ulong_t, unsigned char *, ulong_t);
typedef ulong_t (*fn_find_init)(ulong_t, attribute *, ulong_t);
typedef ulong_t (*fn_find)(ulong_t, ulong_t *, ulong_t, ulong_t *);
typedef ulong_t (*fn_final)(ulong_t);
typedef ulong_t (*fn_init)(ulong_t, mechanism *, ulong_t);
typedef ulong_t (*fn_sign)(ulong_t, unsigned char *, ulong_t, unsigned char *, ulong_t *);
typedef ulong_t (*fn_pair)(ulong_t, mechanism *, attribute *, ulong_t, attribute *, ulong_t, ulong_t *, ulong_t *);

static function_list *module;

static void check(const char *what, ulong_t rv) {
  if (rv == 0) return;
  fprintf(stderr, "%s: CKR 0x%lx\n", what, rv);
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  ulong_t (*get)(function_list **) = (ulong_t (*)(function_list **))dlsym(library, "C_GetFunctionList");
  if (get == NULL) {
    fprintf(stderr, "%s is no PKCS#11 module\n", path);
    exit(1);
  }
  check("C_GetFunctionList", get(&module));
  initialize_args args = {.flags = OS_LOCKING};
  check("C_Initialize", ((fn0)module->call[INITIALIZE])(&args));
}

static ulong_t find_slot(const char *token) {
  ulong_t slots[64], count = 64;
  check("C_GetSlotList", ((fn_slots)module->call[GET_SLOT_LIST])(1, slots, &count));
  for (ulong_t i = 0; i < count; i++) {
    token_info info;
    if (((fn_token)module->call[GET_TOKEN_INFO])(slots[i], &info) != 0) continue;
    size_t length = strlen(token);
    if (length <= 32 && memcmp(info.label, token, length) == 0 && (length == 32 || info.label[length] == ' '))
      return slots[i];
  }
  fprintf(stderr, "no token %s\n", token);
  exit(1);
}

static ulong_t log_in(const char *token, const char *pin_file) {
  ulong_t slot = find_slot(token), session;
  check("C_OpenSession", ((fn_open)module->call[OPEN_SESSION])(slot, SERIAL_RW, NULL, NULL, &session));
  char pin[256];
  FILE *file = fopen(pin_file, "r");
  if (file == NULL || fgets(pin, sizeof pin, file) == NULL) {
    fprintf(stderr, "%s: no PIN\n", pin_file);
    exit(1);
  }
  fclose(file);
  pin[strcspn(pin, "\n")] = 0;
  ulong_t rv = ((fn_login)module->call[LOGIN])(session, USER, (unsigned char *)pin, strlen(pin));
  if (rv != ALREADY_LOGGED_IN) check("C_Login", rv);
  return slot;
}

static void make(const char *token, const char *pin_file, char *label, int rsa) {
  ulong_t slot = log_in(token, pin_file), session, public_key, private_key, bits = 2048;
  check("C_OpenSession", ((fn_open)module->call[OPEN_SESSION])(slot, SERIAL_RW, NULL, NULL, &session));
  unsigned char yes = 1, curve[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}, exponent[] = {1, 0, 1};
  attribute common[] = {{1, &yes, 1}, {3, label, strlen(label)}, {0x10a, &yes, 1}, {0, 0, 0}, {0, 0, 0}};
  if (rsa) {
    common[3] = (attribute){0x121, &bits, sizeof bits};
    common[4] = (attribute){0x122, exponent, sizeof exponent};
  } else common[3] = (attribute){0x180, curve, sizeof curve};
  attribute private_half[] = {
      {1, &yes, 1}, {3, label, strlen(label)}, {2, &yes, 1}, {0x103, &yes, 1}, {0x108, &yes, 1}};
  mechanism how = {rsa ? 0 : 0x1040, NULL, 0};
  check("C_GenerateKeyPair", ((fn_pair)module->call[GENERATE_PAIR])(session, &how, common, rsa ? 5 : 4, private_half, 5,
                                                                    &public_key, &private_key));
}

/* Latencies in buckets of 1/32 of their power of two: 3 % apart, from 1 ns to 2^40 ns. */
enum { BUCKETS = 40 * 32 };
typedef struct {
  atomic_uint ready;
  _Atomic uint64_t begin;
  atomic_ulong operations;
  /* With those of the warm-up. */
  atomic_ulong all;
  atomic_ulong latency[BUCKETS];
} shared_state;
static shared_state *shared;

static int bucket_of(uint64_t ns) {
  int power = 63 - __builtin_clzll(ns | 32);
  int index = (power - 5) * 32 + (int)((ns >> (power - 5)) & 31) + 32;
  return index < BUCKETS ? index : BUCKETS - 1;
}

static double bucket_us(int index) {
  int power = (index - 32) / 32 + 5;
  return (double)((uint64_t)(32 + (index - 32) % 32) << (power - 5)) / 1000.0;
}

typedef struct {
  ulong_t slot;
  const char *label;
  ulong_t mechanism;
  double warm_up, seconds;
} order;

static void *worker(void *argument) {
  const order *what = argument;
  ulong_t session, key = 0, found = 0, class = PRIVATE_KEY;
  check("C_OpenSession", ((fn_open)module->call[OPEN_SESSION])(what->slot, SERIAL_RW, NULL, NULL, &session));
  attribute template[] = {{0, &class, sizeof class}, {3, (void *)what->label, strlen(what->label)}};
  check("C_FindObjectsInit", ((fn_find_init)module->call[FIND_INIT])(session, template, 2));
  check("C_FindObjects", ((fn_find)module->call[FIND])(session, &key, 1, &found));
  check("C_FindObjectsFinal", ((fn_final)module->call[FIND_FINAL])(session));
  if (found != 1) {
    fprintf(stderr, "no key %s\n", what->label);
    exit(1);
  }
  fn_init sign_init = (fn_init)module->call[SIGN_INIT];
  fn_sign sign = (fn_sign)module->call[SIGN];
  mechanism how = {what->mechanism, NULL, 0};
  unsigned char data[32], signature[512];
  memset(data, (int)(getpid() & 0xff), sizeof data);
  atomic_fetch_add(&shared->ready, 1);
  uint64_t begin;
  while ((begin = atomic_load(&shared->begin)) == 0) usleep(1000);
  const uint64_t from = begin + (uint64_t)(what->warm_up * 1e9), until = from + (uint64_t)(what->seconds * 1e9);
  uint64_t start = now(), done = 0, all = 0;
  uint32_t counted[BUCKETS] = {0};
  for (uint64_t i = 0; start < until; i++) {
    memcpy(data, &i, sizeof i);
    ulong_t length = sizeof signature;
    check("C_SignInit", sign_init(session, &how, key));
    check("C_Sign", sign(session, data, sizeof data, signature, &length));
    uint64_t end = now();
    if (start >= from && end <= until) {
      counted[bucket_of(end - start)]++;
      done++;
    }
    start = end;
    all++;
  }
  atomic_fetch_add(&shared->operations, done);
  atomic_fetch_add(&shared->all, all);
  for (int i = 0; i < BUCKETS; i++)
    if (counted[i] > 0) atomic_fetch_add(&shared->latency[i], counted[i]);
  return NULL;
}

static double quantile(double part) {
  unsigned long wanted = (unsigned long)((double)atomic_load(&shared->operations) * part), seen = 0;
  for (int i = 0; i < BUCKETS; i++) {
    seen += atomic_load(&shared->latency[i]);
    if (seen > wanted) return bucket_us(i);
  }
  return 0;
}

static int sign_all(char **argv) {
  const char *path = argv[2], *token = argv[3], *pin_file = argv[4];
  order what = {0, argv[5], strtoul(argv[6], NULL, 0), atof(argv[9]), atof(argv[10])};
  int processes = atoi(argv[7]), threads = atoi(argv[8]), failed = 0;
  if (processes < 1 || processes > 256 || threads < 1 || threads > 256) return 2;
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 1;
  pid_t child[256];
  for (int p = 0; p < processes; p++) {
    child[p] = fork();
    if (child[p] != 0) continue;
    /* In turn: SoftHSM 2.6 loses tokens when many processes open its store at once. */
    while (atomic_load(&shared->ready) < (unsigned)(p * threads)) usleep(1000);
    load(path);
    what.slot = log_in(token, pin_file);
    pthread_t thread[256];
    for (int t = 1; t < threads; t++) pthread_create(&thread[t], NULL, worker, &what);
    worker(&what);
    for (int t = 1; t < threads; t++) pthread_join(thread[t], NULL);
    /* Without C_Finalize: what is measured is over. */
    _exit(0);
  }
  for (int waited = 0; atomic_load(&shared->ready) < (unsigned)(processes * threads); waited++) {
    usleep(5000);
    if (waited > 12000 || waitpid(-1, NULL, WNOHANG) > 0) {
      fprintf(stderr, "not every process got ready\n");
      for (int p = 0; p < processes; p++) kill(child[p], SIGKILL);
      return 1;
    }
  }
  atomic_store(&shared->begin, now() + 20000000);
  int status;
  while (wait(&status) > 0)
    if (status != 0) failed = 1;
  struct rusage used;
  getrusage(RUSAGE_CHILDREN, &used);
  double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
               (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  printf("{\"operations\":%lu,\"seconds\":%g,\"p50Us\":%.1f,\"p99Us\":%.1f,\"cpuUs\":%.1f}\n",
         atomic_load(&shared->operations), what.seconds, quantile(0.5), quantile(0.99),
         cpu / (double)atomic_load(&shared->all));
  return failed;
}

int main(int argc, char **argv) {
  if (argc == 7 && strcmp(argv[1], "make") == 0) {
    load(argv[2]);
    make(argv[3], argv[4], argv[5], strcmp(argv[6], "rsa") == 0);
    return 0;
  }
  if (argc == 11 && strcmp(argv[1], "sign") == 0) return sign_all(argv);
  fprintf(stderr, "usage: pkcs11 make|sign …, see the source\n");
  return 2;
}
