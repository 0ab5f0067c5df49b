#include "bind/crypto.h"

#include <lauxlib.h>
#include <lua.h>

#include "base/encoding.h"
#include "bind/operation.h"
#include "io/crypto.h"
#include "io/signature.h"

#define RANDOM_MAX 65536
#define CRYPTO_TYPE "tidegate.crypto"

/* What the module keeps for its worker. */
struct keeping {
  struct crypto *crypto; /* NULL: closed */
  struct signatures *signatures;
};

static const struct keeping *keeping_of(lua_State *L) {
  const struct keeping *keeping = lua_touserdata(L, lua_upvalueindex(1));
  if (keeping->crypto == NULL) luaL_error(L, "tide.crypto is closed: the worker is stopping");
  return keeping;
}

static struct crypto *crypto_of(lua_State *L) {
  return keeping_of(L)->crypto;
}

static enum crypto_algorithm check_algorithm(lua_State *L, int index) {
  return (enum crypto_algorithm)luaL_checkoption(L, index, NULL, crypto_algorithm_names);
}

static int l_digest(lua_State *L) {
  unsigned char out[CRYPTO_DIGEST_MAX];
  size_t length, out_length;
  struct err err;
  lua_settop(L, 2);
  enum crypto_algorithm algorithm = check_algorithm(L, 1);
  const char *bytes = luaL_checklstring(L, 2, &length);
  if (crypto_digest(crypto_of(L), algorithm, bytes, length, out, &out_length, &err) != 0)
    return luaL_error(L, "%s", err.message);
  lua_pushlstring(L, (const char *)out, out_length);
  return 1;
}

static int l_hmac(lua_State *L) {
  unsigned char out[CRYPTO_DIGEST_MAX];
  size_t key_length, length, out_length;
  struct err err;
  lua_settop(L, 3);
  enum crypto_algorithm algorithm = check_algorithm(L, 1);
  const char *key = luaL_checklstring(L, 2, &key_length);
  const char *bytes = luaL_checklstring(L, 3, &length);
  if (crypto_hmac(crypto_of(L), algorithm, key, key_length, bytes, length, out, &out_length,
                  &err) != 0)
    return luaL_error(L, "%s", err.message);
  lua_pushlstring(L, (const char *)out, out_length);
  return 1;
}

static int l_equal(lua_State *L) {
  size_t one_length, two_length;
  lua_settop(L, 2);
  luaL_checktype(L, 1, LUA_TSTRING);
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *one = lua_tolstring(L, 1, &one_length);
  const char *two = lua_tolstring(L, 2, &two_length);
  lua_pushboolean(L, crypto_equal(one, one_length, two, two_length));
  return 1;
}

static const char *check_bytes(lua_State *L, int index, size_t *length) {
  const char *bytes = luaL_checklstring(L, index, length);
  luaL_argcheck(L, *length <= CRYPTO_SEAL_MAX, index, "too long");
  return bytes;
}

static int l_hex(lua_State *L) {
  size_t length;
  luaL_Buffer buffer;
  lua_settop(L, 1);
  const char *bytes = check_bytes(L, 1, &length);
  char *out = luaL_buffinitsize(L, &buffer, ENCODING_HEX_SIZE(length));
  encoding_hex(bytes, length, out);
  luaL_pushresultsize(&buffer, ENCODING_HEX_SIZE(length));
  return 1;
}

static int l_from_hex(lua_State *L) {
  size_t length, written;
  struct err err;
  luaL_Buffer buffer;
  lua_settop(L, 1);
  const char *text = check_bytes(L, 1, &length);
  char *out = luaL_buffinitsize(L, &buffer, ENCODING_FROM_HEX_SIZE(length));
  if (encoding_from_hex(text, length, (unsigned char *)out, &written, &err) != 0)
    return bind_fail(L, &err);
  luaL_pushresultsize(&buffer, written);
  return 1;
}

static int encode_base64(lua_State *L, enum encoding_base64 kind) {
  size_t length;
  luaL_Buffer buffer;
  lua_settop(L, 1);
  const char *bytes = check_bytes(L, 1, &length);
  char *out = luaL_buffinitsize(L, &buffer, ENCODING_BASE64_SIZE(length));
  luaL_pushresultsize(&buffer, encoding_base64(kind, bytes, length, out));
  return 1;
}

static int decode_base64(lua_State *L, enum encoding_base64 kind) {
  size_t length, written;
  struct err err;
  luaL_Buffer buffer;
  lua_settop(L, 1);
  const char *text = check_bytes(L, 1, &length);
  unsigned char *out =
      (unsigned char *)luaL_buffinitsize(L, &buffer, ENCODING_FROM_BASE64_SIZE(length));
  if (encoding_from_base64(kind, text, length, out, &written, &err) != 0) return bind_fail(L, &err);
  luaL_pushresultsize(&buffer, written);
  return 1;
}

static int l_base64(lua_State *L) {
  return encode_base64(L, ENCODING_BASE64);
}

static int l_from_base64(lua_State *L) {
  return decode_base64(L, ENCODING_BASE64);
}

static int l_base64url(lua_State *L) {
  return encode_base64(L, ENCODING_BASE64_URL);
}

static int l_from_base64url(lua_State *L) {
  return decode_base64(L, ENCODING_BASE64_URL);
}

static int l_random(lua_State *L) {
  struct err err;
  luaL_Buffer buffer;
  lua_settop(L, 1);
  lua_Integer count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 1 && count <= RANDOM_MAX, 1, "a count of 1 to 65536 expected");
  char *out = luaL_buffinitsize(L, &buffer, (size_t)count);
  if (crypto_random(out, (size_t)count, &err) != 0) return luaL_error(L, "%s", err.message);
  luaL_pushresultsize(&buffer, (size_t)count);
  return 1;
}

/* What seal and open share: key, text, optional associated data. */
struct sealing {
  const unsigned char *key;
  const char *text;
  size_t length;
  const char *associated;
  size_t associated_length;
};

static void check_sealing(lua_State *L, struct sealing *sealing) {
  size_t key_length;
  lua_settop(L, 3);
  sealing->key = (const unsigned char *)luaL_checklstring(L, 1, &key_length);
  luaL_argcheck(L, key_length == CRYPTO_SEAL_KEY_BYTES, 1, "a key of 32 bytes expected");
  sealing->text = check_bytes(L, 2, &sealing->length);
  sealing->associated = luaL_optlstring(L, 3, "", &sealing->associated_length);
}

static int l_seal(lua_State *L) {
  struct sealing sealing;
  struct err err;
  luaL_Buffer buffer;
  check_sealing(L, &sealing);
  size_t out_length = sealing.length + CRYPTO_SEAL_EXTRA;
  char *out = luaL_buffinitsize(L, &buffer, out_length);
  if (crypto_seal(crypto_of(L), sealing.key, sealing.text, sealing.length, sealing.associated,
                  sealing.associated_length, (unsigned char *)out, &err) != 0)
    return luaL_error(L, "%s", err.message);
  luaL_pushresultsize(&buffer, out_length);
  return 1;
}

static int l_open(lua_State *L) {
  struct sealing sealing;
  struct err err;
  luaL_Buffer buffer;
  check_sealing(L, &sealing);
  size_t extra = CRYPTO_SEAL_EXTRA;
  size_t out_length = sealing.length > extra ? sealing.length - extra : 0;
  char *out = luaL_buffinitsize(L, &buffer, out_length);
  if (crypto_open(crypto_of(L), sealing.key, sealing.text, sealing.length, sealing.associated,
                  sealing.associated_length, (unsigned char *)out, &err) != 0)
    return bind_fail(L, &err);
  luaL_pushresultsize(&buffer, out_length);
  return 1;
}

static struct signature_bytes check_signed(lua_State *L, int index) {
  struct signature_bytes bytes;
  bytes.data = luaL_checklstring(L, index, &bytes.length);
  return bytes;
}

static enum signature_algorithm check_signature_algorithm(lua_State *L) {
  return (enum signature_algorithm)luaL_checkoption(L, 1, NULL, signature_algorithm_names);
}

static int l_sign(lua_State *L) {
  unsigned char out[SIGNATURE_BYTES_MAX];
  size_t out_length;
  struct err err;
  lua_settop(L, 3);
  enum signature_algorithm algorithm = check_signature_algorithm(L);
  luaL_argcheck(L, algorithm != SIGNATURE_RSA_SHA1, 1, "'rsa-sha1' is for verification only");
  struct signature_bytes key = check_signed(L, 2);
  struct signature_bytes data = check_signed(L, 3);
  if (signature_sign(keeping_of(L)->signatures, algorithm, key, data, out, &out_length, &err) != 0)
    return bind_fail(L, &err);
  lua_pushlstring(L, (const char *)out, out_length);
  return 1;
}

static int l_verify(lua_State *L) {
  bool valid;
  struct err err;
  lua_settop(L, 4);
  enum signature_algorithm algorithm = check_signature_algorithm(L);
  struct signature_bytes key = check_signed(L, 2);
  struct signature_bytes data = check_signed(L, 3);
  struct signature_bytes signature = check_signed(L, 4);
  if (signature_verify(keeping_of(L)->signatures, algorithm, key, data, signature, &valid, &err) !=
      0)
    return bind_fail(L, &err);
  lua_pushboolean(L, valid);
  return 1;
}

static int l_free(lua_State *L) {
  struct keeping *keeping = luaL_checkudata(L, 1, CRYPTO_TYPE);
  crypto_free(keeping->crypto);
  signatures_free(keeping->signatures);
  *keeping = (struct keeping){0};
  return 0;
}

static void push_keeping(lua_State *L) {
  struct err err;
  struct keeping *keeping = lua_newuserdatauv(L, sizeof *keeping, 0);
  *keeping = (struct keeping){0};
  luaL_newmetatable(L, CRYPTO_TYPE);
  lua_pushcfunction(L, l_free);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  keeping->crypto = crypto_new(&err);
  if (keeping->crypto != NULL) keeping->signatures = signatures_new(&err);
  if (keeping->signatures == NULL) luaL_error(L, "%s", err.message);
}

static const luaL_Reg module_functions[] = {
    {"digest", l_digest},
    {"hmac", l_hmac},
    {"equal", l_equal},
    {"hex", l_hex},
    {"from_hex", l_from_hex},
    {"base64", l_base64},
    {"from_base64", l_from_base64},
    {"base64url", l_base64url},
    {"from_base64url", l_from_base64url},
    {"random", l_random},
    {"seal", l_seal},
    {"open", l_open},
    {"sign", l_sign},
    {"verify", l_verify},
    {NULL, NULL},
};

int luaopen_tide_crypto(lua_State *L) {
  luaL_newlibtable(L, module_functions);
  push_keeping(L);
  luaL_setfuncs(L, module_functions, 1);
  return 1;
}
