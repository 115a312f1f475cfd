/*
 * The least that a server behind p11-kit's client can do for a signature: it reads C_SignInit and C_Sign of p11-kit's RPC
 * protocol (p11-kit/rpc-message.h), signs the digest with a P-256 key in its own memory through OpenSSL, and answers. No
 * boundary, no policy, no audit. All other calls, and the first of these two on each connection, are passed on to a real
 * server, whose answers are the pattern of the later ones. What it reaches is what the client and the wake-ups leave.
 *
 *   p11-server SOCKET SOCKET-OF-THE-REAL-SERVER
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* OpenSSL 3, declared here so that no header is needed. */
void *EVP_PKEY_Q_keygen(void *context, const char *properties, const char *type, ...);
void *EVP_PKEY_CTX_new(void *key, void *engine);
int EVP_PKEY_sign_init(void *context);
int EVP_PKEY_sign(void *context, unsigned char *out, size_t *length, const unsigned char *digest, size_t digest_length);

enum { HEADER = 12, ROOM = 65536, SIGN_INIT = 42, SIGN = 43, DIGEST = 32, SIGNATURE = 64, EVENTS = 64 };

typedef struct {
  size_t length;
  unsigned char bytes[1024];
} pattern;
typedef struct {
  int client, real, agreed;
  size_t length;
  pattern init, sign;
  unsigned char bytes[ROOM];
} connection;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static size_t word(const unsigned char *at) {
  return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

static int unix_socket(const char *path, struct sockaddr_un *address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address->sun_path) errno = ENAMETOOLONG, fail(path);
  strcpy(address->sun_path, path);
  int made = socket(AF_UNIX, SOCK_STREAM, 0);
  if (made < 0) fail("socket");
  return made;
}

static void give(int to, const unsigned char *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t some = send(to, bytes + done, length - done, MSG_NOSIGNAL);
    if (some <= 0) return; /* it is seen gone at the next read */
    done += (size_t)some;
  }
}

static void take(int from, unsigned char *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t some = recv(from, bytes + done, length - done, 0);
    if (some <= 0) fail("the real server");
    done += (size_t)some;
  }
}

/* Asks the real server; its answer becomes the pattern when it belongs to the same call and fits. */
static void pass_on(connection *c, const unsigned char *request, size_t length, size_t call, pattern *kept) {
  unsigned char head[HEADER];
  give(c->real, request, length);
  take(c->real, head, HEADER);
  size_t options = word(head + 4), whole = HEADER + options + word(head + 8);
  unsigned char *answer = malloc(whole);
  if (answer == NULL) fail("malloc");
  memcpy(answer, head, HEADER);
  take(c->real, answer + HEADER, whole - HEADER);
  give(c->client, answer, whole);
  if (kept != NULL && whole <= sizeof kept->bytes && whole >= HEADER + options + 4 &&
      (call != SIGN || whole >= HEADER + SIGNATURE) && word(answer + HEADER + options) == call) {
    memcpy(kept->bytes, answer, whole);
    kept->length = whole;
  }
  free(answer);
}

static void serve(connection *c, const unsigned char *request, size_t length, void *signer) {
  size_t call = word(request + HEADER + word(request + 4));
  pattern *kept = call == SIGN_INIT ? &c->init : call == SIGN ? &c->sign : NULL;
  if (kept == NULL || kept->length == 0 || (call == SIGN && length < HEADER + DIGEST + 4)) {
    pass_on(c, request, length, call, kept);
    return;
  }
  memcpy(kept->bytes, request, 4); /* the serial number */
  if (call == SIGN) {
    /* The digest stands before the last four bytes; the signature ends the answer. DER may be longer than 64 bytes. */
    unsigned char made[80];
    size_t bytes = sizeof made;
    if (EVP_PKEY_sign(signer, made, &bytes, request + length - 4 - DIGEST, DIGEST) != 1) fail("EVP_PKEY_sign");
    memcpy(kept->bytes + kept->length - SIGNATURE, made, SIGNATURE);
  }
  give(c->client, kept->bytes, kept->length);
}

/* 0 when the client is gone. */
static int readable(connection *c, void *signer) {
  ssize_t some = recv(c->client, c->bytes + c->length, ROOM - c->length, MSG_DONTWAIT);
  if (some < 0 && errno == EAGAIN) return 1;
  if (some <= 0) return 0;
  c->length += (size_t)some;
  size_t at = 0;
  if (!c->agreed) {
    unsigned char version;
    give(c->real, c->bytes, 1);
    take(c->real, &version, 1);
    give(c->client, &version, 1);
    c->agreed = 1;
    at = 1;
  }
  while (c->length - at >= HEADER) {
    size_t options = word(c->bytes + at + 4), body = word(c->bytes + at + 8);
    if (options > ROOM || body > ROOM || HEADER + options + body > ROOM || body < 4) return 0;
    if (c->length - at < HEADER + options + body) break;
    serve(c, c->bytes + at, HEADER + options + body, signer);
    at += HEADER + options + body;
  }
  memmove(c->bytes, c->bytes + at, c->length - at);
  c->length -= at;
  return 1;
}

int main(int count, char **words) {
  if (count != 3) return fprintf(stderr, "p11-server SOCKET SOCKET-OF-THE-REAL-SERVER\n"), 2;
  void *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *signer = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
  if (signer == NULL || EVP_PKEY_sign_init(signer) != 1) fail("OpenSSL");
  struct sockaddr_un address;
  int door = unix_socket(words[1], &address), poll = epoll_create1(0);
  if (bind(door, (void *)&address, sizeof address) != 0 || listen(door, 4096) != 0) fail(words[1]);
  struct epoll_event event = {.events = EPOLLIN}, events[EVENTS];
  if (epoll_ctl(poll, EPOLL_CTL_ADD, door, &event) != 0) fail("epoll_ctl");
  for (;;) {
    int ready = epoll_wait(poll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      connection *c = events[i].data.ptr;
      if (c != NULL) {
        if (readable(c, signer)) continue;
        close(c->client);
        close(c->real);
        free(c);
        continue;
      }
      if ((c = calloc(1, sizeof *c)) == NULL) fail("calloc");
      c->client = accept(door, NULL, NULL);
      c->real = unix_socket(words[2], &address);
      if (c->client < 0 || connect(c->real, (void *)&address, sizeof address) != 0) fail(words[2]);
      event.data.ptr = c;
      if (epoll_ctl(poll, EPOLL_CTL_ADD, c->client, &event) != 0) fail("epoll_ctl");
    }
  }
}
