/*
 * The reference that benchmarks divide by: plain EVP loops on the libcrypto inside this very Node executable, one thread,
 * nothing in between. Built on the spot where a C compiler is present; used by the benchmarks and by nothing else.
 * Prototypes are written out so that neither OpenSSL's nor Node's headers are needed.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_cipher_st EVP_CIPHER;
EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **, const unsigned char **, long);
void EVP_PKEY_free(EVP_PKEY *);
EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *, void *);
void EVP_PKEY_CTX_free(EVP_PKEY_CTX *);
int EVP_PKEY_sign_init(EVP_PKEY_CTX *);
int EVP_PKEY_sign(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *);
const EVP_MD *EVP_sha256(void);
int EVP_DigestSignInit(EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, void *, EVP_PKEY *);
int EVP_DigestSign(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *);
const EVP_CIPHER *EVP_aes_256_gcm(void);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *, const EVP_CIPHER *, void *, const unsigned char *, const unsigned char *);
int EVP_EncryptUpdate(EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int);
int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *, unsigned char *, int *);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *, int, int, void *);

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
int napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
int napi_get_value_int32(napi_env, napi_value, int32_t *);
int napi_get_value_double(napi_env, napi_value, double *);
int napi_get_buffer_info(napi_env, napi_value, void **, size_t *);
int napi_create_double(napi_env, double, napi_value *);
int napi_create_array_with_length(napi_env, size_t, napi_value *);
int napi_set_element(napi_env, napi_value, uint32_t, napi_value);
int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
int napi_set_named_property(napi_env, napi_value, const char *, napi_value);

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What to loop over: 0 EVP_PKEY_sign of a digest, 1 EVP_DigestSign of a message with SHA-256, 2 EVP_DigestSign without a hash,
 * 3 AES-256-GCM of 1 KiB with a fresh nonce each. */
static int once(int what, EVP_PKEY *key, EVP_PKEY_CTX *ctx, EVP_CIPHER_CTX *gcm, unsigned char *out, size_t room,
                const unsigned char *in, size_t length) {
  size_t n = room;
  if (what == 0) return EVP_PKEY_sign(ctx, out, &n, in, length);
  if (what == 3) {
    unsigned char nonce[12];
    int part = 0;
    uint64_t stamp = (uint64_t)(uintptr_t)out ^ (uint64_t)clock();
    memcpy(nonce, &stamp, 8);
    memset(nonce + 8, 0, 4);
    if (EVP_EncryptInit_ex(gcm, NULL, NULL, NULL, nonce) != 1) return 0;
    if (EVP_EncryptUpdate(gcm, out, &part, in, (int)length) != 1) return 0;
    if (EVP_EncryptFinal_ex(gcm, out + part, &part) != 1) return 0;
    return EVP_CIPHER_CTX_ctrl(gcm, 0x10, 16, out + length);
  }
  EVP_MD_CTX *md = EVP_MD_CTX_new();
  int ok = EVP_DigestSignInit(md, NULL, what == 1 ? EVP_sha256() : NULL, NULL, key) == 1 &&
           EVP_DigestSign(md, out, &n, in, length) == 1;
  EVP_MD_CTX_free(md);
  return ok;
}

/* run(what, keyDer, input, seconds) -> [operations, cpu seconds, wall seconds]; [-1] when the loop cannot run. */
static napi_value run(napi_env env, napi_callback_info info) {
  size_t argc = 4;
  napi_value argv[4], result, value;
  int32_t what = 0;
  void *der = NULL, *input = NULL;
  size_t der_length = 0, input_length = 0;
  double seconds = 1;
  static unsigned char out[65536];
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
  napi_get_value_int32(env, argv[0], &what);
  napi_get_buffer_info(env, argv[1], &der, &der_length);
  napi_get_buffer_info(env, argv[2], &input, &input_length);
  napi_get_value_double(env, argv[3], &seconds);
  napi_create_array_with_length(env, 3, &result);

  EVP_PKEY *key = NULL;
  EVP_PKEY_CTX *ctx = NULL;
  EVP_CIPHER_CTX *gcm = NULL;
  int ready = 1;
  if (what == 3) {
    gcm = EVP_CIPHER_CTX_new();
    ready = der_length == 32 && input_length <= 32768 && EVP_EncryptInit_ex(gcm, EVP_aes_256_gcm(), NULL, der, NULL) == 1;
  } else {
    const unsigned char *at = der;
    key = d2i_AutoPrivateKey(NULL, &at, (long)der_length);
    ready = key != NULL;
    if (ready && what == 0) {
      ctx = EVP_PKEY_CTX_new(key, NULL);
      ready = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1;
    }
  }
  double count = 0, wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_THREAD_CPUTIME_ID), until = wall + seconds;
  while (ready && now(CLOCK_MONOTONIC) < until) {
    for (int i = 0; ready && i < 8; i++) ready = once(what, key, ctx, gcm, out, sizeof out, input, input_length) == 1;
    count += 8;
  }
  cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
  wall = now(CLOCK_MONOTONIC) - wall;
  if (ctx) EVP_PKEY_CTX_free(ctx);
  if (key) EVP_PKEY_free(key);
  if (gcm) EVP_CIPHER_CTX_free(gcm);
  napi_create_double(env, ready ? count : -1, &value);
  napi_set_element(env, result, 0, value);
  napi_create_double(env, cpu, &value);
  napi_set_element(env, result, 1, value);
  napi_create_double(env, wall, &value);
  napi_set_element(env, result, 2, value);
  return result;
}

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "run", 3, run, NULL, &function);
  napi_set_named_property(env, exports, "run", function);
  return exports;
}
