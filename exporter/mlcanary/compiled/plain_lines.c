/* Plain native lines straight from bytes to arrays, without an object per value.
 *
 * Reason: objects, not statistics, are what a record costs. Making Python objects of a line and arrays of these takes
 * three times as long as all that is counted of it. This file is the one place where that is worth C.
 *
 * Guarantee: a line that is taken gives the values that msgspec gives. Whatever is not plain is left, whole, to the
 * ways in Python: escapes in keys and ids, unknown or repeated keys, other types, broken UTF-8, deep nesting, numbers of many digits.
 * No input can make it read outside the block or loop without end; nothing recurses. Memory: what the caller asks for.
 * No line keeps anything but names it was the first to use; the caller makes a new `Plan` when there are too many.
 *
 * Sources: JSON is RFC 8259. Doubles: Clinger 1990 (exact where digits and power of ten are exact); long division where
 * the digits fit 64 bits; `PyOS_string_to_double` for the rest. Users: BLAKE2b, RFC 7693.
 * Limited API of Python 3.11, so one binary serves every later version.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 0
#define EXACT_DOUBLES 1 /* else a product may be rounded twice */
#else
#define EXACT_DOUBLES 0
#endif

#if defined(__GNUC__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#else
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#endif

enum { LONGEST_NUMBER = 64, LONGEST_INTEGER = 18, LONGEST_TOKEN = 512, LONGEST_WORD = 1024 };
enum { DEEPEST = 60, LONGEST_PROBE = 64, MOST_KEYS = 4096 };
enum { ABSENT = -1, LEFT = -1, FAILED = -2 };

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LITTLE_ENDIAN_BYTES 1
#else
#define LITTLE_ENDIAN_BYTES 0
#endif

/* ------------------------------------------------------------------ bytes */

static inline uint64_t load64(const char *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

static inline uint32_t load32(const char *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

/* Whether n bytes are the same; both must be readable. */
static inline int same(const char *p, const char *q, size_t n) {
    if (n >= 8) {
        size_t i = 0;
        for (; i + 8 <= n; i += 8) {
            if (load64(p + i) != load64(q + i)) return 0;
        }
        return load64(p + n - 8) == load64(q + n - 8);
    }
    if (n >= 4) return load32(p) == load32(q) && load32(p + n - 4) == load32(q + n - 4);
    for (size_t i = 0; i < n; i++) {
        if (p[i] != q[i]) return 0;
    }
    return 1;
}

static inline uint32_t hash_of(const char *p, size_t n) {
    const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = (uint64_t)n * factor;
    if (n >= 8) {
        const char *last = p + n - 8;
        for (; p < last; p += 8) {
            h = (h ^ load64(p)) * factor;
            h ^= h >> 32;
        }
        h = (h ^ load64(last)) * factor;
    } else if (n >= 4) {
        h = (h ^ (load32(p) | (uint64_t)load32(p + n - 4) << 32)) * factor;
    } else if (n > 0) {
        const unsigned char *u = (const unsigned char *)p;
        h = (h ^ (u[0] | (uint64_t)u[n >> 1] << 8 | (uint64_t)u[n - 1] << 16)) * factor;
    }
    return (uint32_t)(h >> 32);
}

/* ------------------------------------------------------------------ names as numbers */

typedef struct {
    uint32_t hash;
    int32_t id; /* ABSENT: free */
} Slot;

typedef struct {
    uint32_t start, length;
} Span;

typedef struct {
    char *text;
    size_t used, room;
    Span *spans;
    int32_t count, spans_room;
    int32_t told; /* how many the caller knows */
    Slot *slots;
    uint32_t mask;
} Names;

static int names_open(Names *names) {
    memset(names, 0, sizeof *names);
    names->mask = 63;
    names->slots = PyMem_Malloc(64 * sizeof(Slot));
    if (names->slots == NULL) return 0;
    for (int i = 0; i < 64; i++) names->slots[i].id = ABSENT;
    return 1;
}

static void names_close(Names *names) {
    PyMem_Free(names->text);
    PyMem_Free(names->spans);
    PyMem_Free(names->slots);
    memset(names, 0, sizeof *names);
}

static int names_widen(Names *names) {
    uint32_t mask = names->mask * 2 + 1;
    Slot *slots = PyMem_Malloc(((size_t)mask + 1) * sizeof(Slot));
    if (slots == NULL) return 0;
    for (uint32_t i = 0; i <= mask; i++) slots[i].id = ABSENT;
    for (uint32_t i = 0; i <= names->mask; i++) {
        if (names->slots[i].id == ABSENT) continue;
        uint32_t at = names->slots[i].hash & mask;
        while (slots[at].id != ABSENT) at = (at + 1) & mask;
        slots[at] = names->slots[i];
    }
    PyMem_Free(names->slots);
    names->slots = slots;
    names->mask = mask;
    return 1;
}

static int names_append(Names *names, const char *p, uint32_t length) {
    if (names->used + length > names->room) {
        size_t room = (names->used + length) * 2 + 256;
        if (room > UINT32_MAX) return 0;
        char *text = PyMem_Realloc(names->text, room);
        if (text == NULL) return 0;
        names->text = text;
        names->room = room;
    }
    if (names->count == names->spans_room) {
        int32_t room = names->spans_room * 2 + 16;
        Span *spans = PyMem_Realloc(names->spans, (size_t)room * sizeof(Span));
        if (spans == NULL) return 0;
        names->spans = spans;
        names->spans_room = room;
    }
    if (length) memcpy(names->text + names->used, p, length);
    names->spans[names->count].start = (uint32_t)names->used;
    names->spans[names->count].length = length;
    names->used += length;
    names->count++;
    return 1;
}

static inline int names_has(const Names *names, int32_t id, const char *p, uint32_t length) {
    const Span span = names->spans[id];
    return span.length == length && same(names->text + span.start, p, length);
}

/* The number of a name; a new one is added if `add`, else LEFT. LEFT too where too many share a place. */
static int32_t names_id(Names *names, const char *p, uint32_t length, int add) {
    const uint32_t hash = hash_of(p, length);
    uint32_t at = hash & names->mask;
    for (int tries = 0; names->slots[at].id != ABSENT; tries++) {
        if (names->slots[at].hash == hash && names_has(names, names->slots[at].id, p, length)) {
            return names->slots[at].id;
        }
        if (tries == LONGEST_PROBE) return LEFT;
        at = (at + 1) & names->mask;
    }
    if (!add) return LEFT;
    if ((uint32_t)names->count * 2 >= names->mask) {
        if (names->mask > UINT32_C(1) << 26 || !names_widen(names)) return FAILED;
        at = hash & names->mask;
        while (names->slots[at].id != ABSENT) at = (at + 1) & names->mask;
    }
    if (!names_append(names, p, length)) return FAILED;
    names->slots[at].hash = hash;
    names->slots[at].id = names->count - 1;
    return names->count - 1;
}

/* Those that the caller does not know yet, as a list of bytes. */
static PyObject *names_new(Names *names) {
    PyObject *found = PyList_New(names->count - names->told);
    if (found == NULL) return NULL;
    for (int32_t i = names->told; i < names->count; i++) {
        PyObject *name = PyBytes_FromStringAndSize(names->text + names->spans[i].start, names->spans[i].length);
        if (name == NULL || PyList_SetItem(found, i - names->told, name) < 0) {
            Py_DECREF(found);
            return NULL;
        }
    }
    return found;
}

/* ------------------------------------------------------------------ JSON
 *
 * `p` points into one line; *end is a line feed or the zero behind a bytes object, so that reading it is allowed and
 * every loop over digits, text or spaces ends there.
 */

static inline int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static inline const char *after_space(const char *p) {
    while (*p == ' ' || *p == '\t' || *p == '\r') p++;
    return p;
}

static int is_utf8(const unsigned char *p, const unsigned char *end) {
    while (p < end) {
        const unsigned char c = *p;
        int more;
        if (c < 0x80) {
            p++;
            continue;
        }
        if (c < 0xC2) return 0;
        else if (c < 0xE0) more = 1;
        else if (c < 0xF0) more = 2;
        else if (c < 0xF5) more = 3;
        else return 0;
        if (end - p <= more) return 0;
        if (c == 0xE0 && p[1] < 0xA0) return 0;
        if (c == 0xED && p[1] > 0x9F) return 0; /* surrogates */
        if (c == 0xF0 && p[1] < 0x90) return 0;
        if (c == 0xF4 && p[1] > 0x8F) return 0;
        for (int i = 1; i <= more; i++) {
            if ((p[i] & 0xC0) != 0x80) return 0;
        }
        p += more + 1;
    }
    return 1;
}

/* The closing quote of a text whose first byte is at p, or NULL. With `escapes` a backslash and what it stands before are
 * passed unread; whoever keeps such a text reads it, in Python. */
static inline const char *any_text_end(const char *p, const char *end, const int escapes) {
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    const char *first = p;
    int ascii = 1;
    for (;;) {
        while (LIKELY(end - p >= 8)) { /* a byte that ends or spoils the text, eight at a time */
            const uint64_t v = load64(p), quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
            const uint64_t found = ((v - ones * 0x20) | (quote - ones) | (slash - ones) | v) & tops;
            if (found != 0) {
#if LITTLE_ENDIAN_BYTES
                p += __builtin_ctzll(found) >> 3; /* borrows only reach bytes behind the first one */
#endif
                break;
            }
            p += 8;
        }
        const unsigned char c = (unsigned char)*p;
        if (c == '"') break;
        if (c < 0x20) return NULL;
        if (c == '\\') {
            if (!escapes || (unsigned char)p[1] < 0x20) return NULL;
            p++;
        }
        if (c >= 0x80) ascii = 0;
        p++;
    }
    if (UNLIKELY(!ascii) && !is_utf8((const unsigned char *)first, (const unsigned char *)p)) return NULL;
    return p;
}

static inline const char *text_end(const char *p, const char *end) { return any_text_end(p, end, 0); }

static const double TENS[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

#if defined(__SIZEOF_INT128__)
static const uint64_t WHOLE_TENS[20] = {
    UINT64_C(1), UINT64_C(10), UINT64_C(100), UINT64_C(1000), UINT64_C(10000), UINT64_C(100000), UINT64_C(1000000),
    UINT64_C(10000000), UINT64_C(100000000), UINT64_C(1000000000), UINT64_C(10000000000), UINT64_C(100000000000),
    UINT64_C(1000000000000), UINT64_C(10000000000000), UINT64_C(100000000000000), UINT64_C(1000000000000000),
    UINT64_C(10000000000000000), UINT64_C(100000000000000000), UINT64_C(1000000000000000000),
    UINT64_C(10000000000000000000)};

/* digits / 10^places, rounded to nearest and even; digits > 2^53, 0 < places < 20. The quotient of 64 more bits has at
 * least 54, so that one bit and a rest say which way to round. */
static double divided(uint64_t digits, int places) {
    const unsigned __int128 dividend = (unsigned __int128)digits << 64;
    const unsigned __int128 quotient = dividend / WHOLE_TENS[places];
    const int rest = quotient * WHOLE_TENS[places] != dividend;
    const uint64_t high = (uint64_t)(quotient >> 64);
    const int bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)quotient);
    const int drop = bits - 53;
    uint64_t kept = (uint64_t)(quotient >> drop);
    const unsigned __int128 below = quotient & (((unsigned __int128)1 << drop) - 1);
    const unsigned __int128 half = (unsigned __int128)1 << (drop - 1);
    if (below > half || (below == half && (rest || (kept & 1)))) kept++;
    return ldexp((double)kept, drop - 64);
}
#endif

static const uint64_t SOME_TENS[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* The number of eight digits, each in a byte, the first one in the lowest. */
static inline uint64_t eight_digits(uint64_t v) {
    v = v * 10 + (v >> 8); /* pairs, in every second byte */
    return ((v & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064)
            + (v >> 16 & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001)) >> 32;
}

/* Without a locale; 0 where Python's own reading is needed and fails, or gives what JSON libraries disagree on. */
static int by_python(const char *first, const char *after, double *value) {
    char text[LONGEST_NUMBER + 1];
    const size_t length = (size_t)(after - first);
    memcpy(text, first, length);
    text[length] = 0;
    *value = PyOS_string_to_double(text, NULL, NULL);
    if (*value == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return isfinite(*value) && fabs(*value) >= DBL_MIN;
}

/* The number at p and what is behind it; NULL if it is none or is left. `whole`: without fraction and exponent. */
static const char *number_end(const char *p, const char *end, double *value, int *whole) {
    const char *first = p;
    const int negative = *p == '-';
    uint64_t digits = 0;
    int power = 0, count;
    p += negative;
    const char *start = p;
    if (*p == '0') {
        p++;
        if (is_digit(*p)) return NULL;
    } else {
        if (!is_digit(*p)) return NULL;
        do digits = digits * 10 + (uint64_t)(*p++ - '0');
        while (is_digit(*p));
    }
    if (p - start > LONGEST_NUMBER) return NULL;
    count = (int)(p - start);
    *whole = 1;
    if (*p == '.') {
        const char *fraction = ++p;
#if LITTLE_ENDIAN_BYTES
        if (LIKELY(end - p >= 8)) { /* up to eight digits at once: a loop ends where nobody can foresee it */
            const uint64_t text = load64(p) ^ UINT64_C(0x3030303030303030);
            const uint64_t others = ((text + UINT64_C(0x7676767676767676)) | text) & UINT64_C(0x8080808080808080);
            const int some = others ? __builtin_ctzll(others) >> 3 : 8;
            if (some) {
                digits = digits * SOME_TENS[some] + eight_digits(text << (64 - some * 8));
                p += some;
            }
        }
#endif
        while (is_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
        if (p == fraction || p - fraction > LONGEST_NUMBER) return NULL;
        power = -(int)(p - fraction);
        count -= power;
        *whole = 0;
    }
    if (*p == 'e' || *p == 'E') {
        int exponent = 0;
        p++;
        const int down = *p == '-';
        if (*p == '-' || *p == '+') p++;
        const char *figures = p;
        while (is_digit(*p) && p - figures < 5) exponent = exponent * 10 + (*p++ - '0');
        if (p == figures || is_digit(*p)) return NULL;
        power += down ? -exponent : exponent;
        *whole = 0;
    }
    if (p - first > LONGEST_NUMBER || (*whole && negative && digits == 0)) return NULL;
    if (LIKELY(count <= 19)) {
        double found;
        if (EXACT_DOUBLES && digits <= (UINT64_C(1) << 53) && power >= -22 && power <= 22) {
            found = power < 0 ? (double)digits / TENS[-power] : (double)digits * TENS[power];
#if defined(__SIZEOF_INT128__)
        } else if (digits > (UINT64_C(1) << 53) && power < 0 && power >= -19) {
            found = divided(digits, -power);
#endif
        } else if (power == 0) {
            found = (double)digits;
        } else {
            return by_python(first, p, value) ? p : NULL;
        }
        *value = negative ? -found : found;
        return p;
    }
    return by_python(first, p, value) ? p : NULL;
}

static inline const char *literal_end(const char *p, const char *end, const char *word, size_t length) {
    return (size_t)(end - p) >= length && same(p, word, length) ? p + length : NULL;
}

/* Behind any value that is well-formed, without keeping it; NULL if it is not, or is nested too deep. */
static const char *value_end(const char *p, const char *end) {
    uint64_t objects = 0; /* a bit per level: whether it is an object */
    int depth = 0, whole;
    double ignored;
    for (;;) {
        p = after_space(p);
        if (*p == '{' || *p == '[') {
            const int object = *p == '{';
            if (depth == DEEPEST) return NULL;
            objects = objects << 1 | (uint64_t)object;
            depth++;
            p = after_space(p + 1);
            if (*p != (object ? '}' : ']')) {
                if (object) goto key;
                continue;
            }
        } else if (*p == '"') {
            if ((p = text_end(p + 1, end)) == NULL) return NULL;
            p++;
        } else if (*p == 't') {
            if ((p = literal_end(p, end, "true", 4)) == NULL) return NULL;
        } else if (*p == 'f') {
            if ((p = literal_end(p, end, "false", 5)) == NULL) return NULL;
        } else if (*p == 'n') {
            if ((p = literal_end(p, end, "null", 4)) == NULL) return NULL;
        } else if ((p = number_end(p, end, &ignored, &whole)) == NULL) {
            return NULL;
        }
        for (;;) { /* behind a value, or at the closing sign of an empty one */
            if (depth == 0) return p;
            p = after_space(p);
            if (*p == ',') break;
            if (*p != ((objects & 1) ? '}' : ']')) return NULL;
            p++;
            objects >>= 1;
            depth--;
        }
        p = after_space(p + 1);
        if (!(objects & 1)) continue;
    key:
        if (*p != '"' || (p = text_end(p + 1, end)) == NULL) return NULL;
        p = after_space(p + 1);
        if (*p != ':') return NULL;
        p++;
    }
}

static int two_digits(const char *p) {
    return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : 1000;
}

/* Unix seconds of YYYY-MM-DDThh:mm:ss, a fraction and a zone behind it perhaps; 0 for any other text. */
static int text_seconds(const char *p, const char *end, double *value) {
    static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (end - p < 19 || end - p > 40) return 0;
    const int high = two_digits(p), low = two_digits(p + 2), year = high * 100 + low;
    const int month = two_digits(p + 5), day = two_digits(p + 8);
    const int hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (high > 99 || low > 99 || year < 1970 || year > 2250) return 0;
    if (p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':') return 0;
    if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return 0;
    const int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day < 1 || day > lengths[month - 1] + (month == 2 && leap)) return 0;
    p += 19;
    int64_t micros = 0;
    if (p < end && *p == '.') {
        int64_t unit = 100000;
        const char *fraction = ++p;
        for (; p < end && is_digit(*p); p++, unit /= 10) micros += (*p - '0') * unit;
        if (p == fraction || p - fraction > 9) return 0;
    }
    int64_t offset = 0;
    if (p < end && *p == 'Z') {
        p++;
    } else if (p < end && (*p == '+' || *p == '-')) {
        if (end - p != 6 || p[3] != ':') return 0;
        const int hours = two_digits(p + 1), minutes = two_digits(p + 4);
        if (hours > 23 || minutes > 59) return 0;
        offset = (hours * 60 + minutes) * (*p == '-' ? -60 : 60);
        p += 6;
    }
    if (p != end) return 0;
    /* Days since 1970: the calendar repeats every 400 years of 146,097 days; March begins a year that ends in February. */
    const int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    const int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
    const int64_t whole = days * 86400 + hour * 3600 + minute * 60 + second - offset;
    *value = (double)(whole * 1000000 + micros) / 1e6; /* the dividend is below 2^53 */
    return 1;
}

/* ------------------------------------------------------------------ a plan: which keys a line may have */

typedef enum {
    KIND, FEATURES, ID, REQUEST_ID, TS, TIMESTAMP, MODEL, VERSION, PREDICTION, SCORE, USER, USER_ID, LATENCY, QUEUE,
    STATUS, LABEL, EVENT, VALUE, SCORES, ITEMS, WEIGHT, KEYS
} Key;

static const char *const KEY_NAMES[KEYS] = {
    "kind", "features", "id", "request_id", "ts", "timestamp", "model", "version", "prediction", "score", "user",
    "user_id", "latency_ms", "queue_ms", "status", "label", "event", "value", "scores", "items", "weight"};

#define BIT(key) (UINT32_C(1) << (key))
#define OF_LABELS (BIT(KIND) | BIT(ID) | BIT(REQUEST_ID) | BIT(TS) | BIT(TIMESTAMP) | BIT(MODEL) | BIT(LABEL))

typedef struct {
    Names names;    /* with quotes */
    int32_t *after; /* the key that followed each one last time, the first one of an object behind the last */
} Keys;

typedef struct {
    PyObject_HEAD
    Keys header, features;
    int32_t numbers, texts, strange;
    uint64_t *seen; /* by feature: the line that had it last */
    uint64_t line;
    Names words, tokens;
    int32_t last_token[KEYS];
} Plan;

typedef struct {
    double *numbers, *matrix;
    int32_t *fields, *texts;
    char *strange;
    PyObject *ids;
    Py_ssize_t count;
} Rows;

enum { TIME_, SCORE_, LATENCY_, QUEUE_, NUMBERS_ };
enum { START_, END_, MODEL_, LABEL_, VERSION_, PREDICTION_, USER_, USER_LENGTH_, FIELDS_ };
enum { LABEL_FIELDS_ = VERSION_ };

typedef struct {
    const char *text; /* NULL: absent */
    uint32_t length;
} Text;

typedef struct {
    uint32_t seen;
    int is_label;
    double time[2], score, latency, queue;
    Text id[2], user[2];
    int32_t model, version, prediction, label; /* tokens */
} Line;

static inline int32_t known_key(Keys *keys, int32_t before, const char **at, const char *end) {
    const char *p = *at;
    const int32_t expected = keys->after[before];
    if (LIKELY(expected >= 0)) {
        const Span span = keys->names.spans[expected];
        if ((size_t)(end - p) >= span.length && same(p, keys->names.text + span.start, span.length)) {
            *at = p + span.length;
            return expected;
        }
    }
    if (*p != '"') return LEFT;
    const char *quote = text_end(p + 1, end);
    if (quote == NULL) return LEFT;
    const int32_t found = names_id(&keys->names, p, (uint32_t)(quote + 1 - p), 0);
    if (found >= 0) keys->after[before] = found;
    *at = quote + 1;
    return found;
}

static inline const char *null_end(const char *p, const char *end) {
    return *p == 'n' ? literal_end(p, end, "null", 4) : NULL;
}

static inline const char *number_or_null(const char *p, const char *end, double *value) {
    int whole;
    const char *after = number_end(p, end, value, &whole);
    if (LIKELY(after != NULL)) return after;
    *value = NAN;
    return null_end(p, end);
}

/* A text or a whole number; null is absent. */
static const char *name_or_null(const char *p, const char *end, Text *found) {
    if (*p == '"') {
        const char *quote = text_end(p + 1, end);
        if (quote == NULL) return NULL;
        found->text = p + 1;
        found->length = (uint32_t)(quote - p - 1);
        return quote + 1;
    }
    if (*p == 'n') return null_end(p, end);
    double ignored;
    int whole;
    const char *after = number_end(p, end, &ignored, &whole);
    if (after == NULL || !whole || after - p > LONGEST_INTEGER) return NULL;
    found->text = p;
    found->length = (uint32_t)(after - p);
    return after;
}

static const char *time_or_null(const char *p, const char *end, double *found) {
    if (*p != '"') return number_or_null(p, end, found);
    const char *quote = text_end(p + 1, end);
    return quote != NULL && text_seconds(p + 1, quote, found) ? quote + 1 : NULL;
}

/* A text, number or truth value as it stands in the line, as the number of that token; null is ABSENT. */
static const char *token_or_null(Plan *plan, Key key, const char *p, const char *end, int32_t *found) {
    const char *after;
    double ignored;
    int whole;
    if (*p == '"') {
        after = any_text_end(p + 1, end, key == PREDICTION || key == LABEL);
        if (after != NULL) after++;
    } else if (*p == 'n') {
        return null_end(p, end);
    } else if (*p == 't') {
        after = literal_end(p, end, "true", 4);
    } else if (*p == 'f') {
        after = literal_end(p, end, "false", 5);
    } else {
        after = number_end(p, end, &ignored, &whole);
    }
    if (after == NULL || after - p > LONGEST_TOKEN) return NULL;
    const uint32_t length = (uint32_t)(after - p);
    const int32_t last = plan->last_token[key];
    if (last >= 0 && names_has(&plan->tokens, last, p, length)) {
        *found = last;
        return after;
    }
    *found = names_id(&plan->tokens, p, length, 1);
    if (*found >= 0) plan->last_token[key] = *found;
    return *found == LEFT ? NULL : after;
}

/* Behind the object of features, written into row `rows->count`; NULL if it is left. */
static const char *features_end(Plan *plan, Rows *rows, Py_ssize_t stride, const char *p, const char *end, int *failed) {
    const int32_t texts_from = plan->numbers, strange_from = texts_from + plan->texts;
    const int32_t all = strange_from + plan->strange;
    const Py_ssize_t row = rows->count;
    int32_t before = all, left = all;
    p = after_space(p + 1);
    if (*p == '}') {
        p++;
    } else {
        for (;;) {
            const int32_t found = known_key(&plan->features, before, &p, end);
            if (found < 0 || plan->seen[found] == plan->line) return NULL;
            plan->seen[found] = plan->line;
            before = found;
            left--;
            p = after_space(p);
            if (*p != ':') return NULL;
            p = after_space(p + 1);
            if (found < texts_from) {
                p = number_or_null(p, end, rows->matrix + found * stride + row);
            } else if (found < strange_from) {
                int32_t *word = rows->texts + (found - texts_from) * stride + row;
                if (*p == '"') {
                    const char *text = p + 1;
                    p = any_text_end(text, end, 1);
                    if (p == NULL || p - text > LONGEST_WORD) return NULL;
                    *word = names_id(&plan->words, text, (uint32_t)(p - text), 1);
                    if (*word < 0) {
                        *failed = *word == FAILED;
                        return NULL;
                    }
                    p++;
                } else {
                    *word = ABSENT;
                    p = null_end(p, end);
                }
            } else {
                rows->strange[(found - strange_from) * stride + row] = 1;
                p = value_end(p, end);
            }
            if (p == NULL) return NULL;
            p = after_space(p);
            if (*p == '}') break;
            if (*p != ',') return NULL;
            p = after_space(p + 1);
        }
        p++;
    }
    if (left == 0) return p;
    for (int32_t i = 0; i < all; i++) {
        if (plan->seen[i] == plan->line) continue;
        if (i < texts_from) rows->matrix[i * stride + row] = NAN;
        else if (i < strange_from) rows->texts[(i - texts_from) * stride + row] = ABSENT;
        else rows->strange[(i - strange_from) * stride + row] = 0;
    }
    return p;
}

/* Behind the value of a key, NULL if the line is left. */
static const char *field_end(Plan *plan, Line *line, Key key, const char *p, const char *end) {
    switch (key) {
        case KIND: {
            const char *after = literal_end(p, end, "\"label\"", 7);
            line->is_label = after != NULL;
            return after != NULL ? after : literal_end(p, end, "\"prediction\"", 12);
        }
        case ID: return name_or_null(p, end, &line->id[0]);
        case REQUEST_ID: return name_or_null(p, end, &line->id[1]);
        case USER: return name_or_null(p, end, &line->user[0]);
        case USER_ID: return name_or_null(p, end, &line->user[1]);
        case TS: return time_or_null(p, end, &line->time[0]);
        case TIMESTAMP: return time_or_null(p, end, &line->time[1]);
        case SCORE: return number_or_null(p, end, &line->score);
        case LATENCY: return number_or_null(p, end, &line->latency);
        case QUEUE: return number_or_null(p, end, &line->queue);
        case MODEL:
            if (*p != '"' && *p != 'n') return NULL;
            return token_or_null(plan, key, p, end, &line->model);
        case VERSION:
            if (*p == 't' || *p == 'f') return NULL;
            return token_or_null(plan, key, p, end, &line->version);
        case PREDICTION: return token_or_null(plan, key, p, end, &line->prediction);
        case LABEL: return token_or_null(plan, key, p, end, &line->label);
        case STATUS: {
            if (*p == 'n') return null_end(p, end);
            if (*p == '"') return literal_end(p, end, "\"200\"", 5);
            const char *after = literal_end(p, end, "200", 3);
            return after != NULL && (*after == ',' || *after == '}' || *after == ' ') ? after : NULL;
        }
        case EVENT:
        case VALUE: return null_end(p, end);
        default: return NULL; /* scores, items, weight: no plain line */
    }
}

/* Takes one line into `predictions` or `labels`: 1, LEFT or FAILED (with an exception). `place`: of its first byte. */
static int take_line(Plan *plan, Rows *predictions, Rows *labels, Py_ssize_t stride, const char *block, const char *p,
                     const char *end) {
    const char *first = p;
    Line line;
    int32_t before = plan->header.names.count;
    int failed = 0;
    line.seen = 0; /* field by field: clearing the whole takes longer than reading a label */
    line.is_label = 0;
    line.time[0] = line.time[1] = line.score = line.latency = line.queue = NAN;
    line.id[0].text = line.id[1].text = line.user[0].text = line.user[1].text = NULL;
    line.id[1].length = line.user[1].length = 0;
    line.model = line.version = line.prediction = line.label = ABSENT;
    plan->line++;
    p = after_space(p);
    if (*p != '{') return LEFT;
    p = after_space(p + 1);
    for (;;) {
        const int32_t key = known_key(&plan->header, before, &p, end);
        if (key < 0) return LEFT;
        before = key;
        p = after_space(p);
        if (*p != ':') return LEFT;
        p = after_space(p + 1);
        if (key >= KEYS) {
            p = value_end(p, end);
        } else {
            if (line.seen & BIT(key)) return LEFT;
            line.seen |= BIT(key);
            if (key != FEATURES) {
                p = field_end(plan, &line, (Key)key, p, end);
            } else if (*p == '{') {
                p = features_end(plan, predictions, stride, p, end, &failed);
                if (failed) goto no_memory;
            } else {
                p = null_end(p, end);
                line.seen &= ~BIT(FEATURES); /* none were written; a second one is written whole */
            }
        }
        if (p == NULL) return LEFT;
        p = after_space(p);
        if (*p == '}') break;
        if (*p != ',') return LEFT;
        p = after_space(p + 1);
    }
    if (after_space(p + 1) != end) return LEFT;
    if (line.is_label && (line.seen & ~OF_LABELS)) return LEFT;
    if (!line.is_label && !(line.seen & BIT(FEATURES))) {
        features_end(plan, predictions, stride, "{}", NULL, &failed); /* all of them are missing */
    }
    if (line.model == FAILED || line.version == FAILED || line.prediction == FAILED || line.label == FAILED) {
        goto no_memory;
    }
    const Text id = line.id[line.id[0].text == NULL], user = line.user[line.user[0].text == NULL];
    Rows *rows = line.is_label ? labels : predictions;
    if (line.is_label && (id.text == NULL || line.label < 0)) return LEFT;
    PyObject *name = Py_None;
    if (id.text != NULL) {
        name = PyUnicode_DecodeUTF8(id.text, id.length, NULL);
        if (name == NULL) return FAILED;
    } else {
        Py_INCREF(name);
    }
    const Py_ssize_t row = rows->count;
    if (PyList_Append(rows->ids, name) < 0) {
        Py_DECREF(name);
        return FAILED;
    }
    Py_DECREF(name);
    rows->count++;
    int32_t *fields = rows->fields + row;
    fields[START_ * stride] = (int32_t)(first - block);
    fields[END_ * stride] = (int32_t)(end - block);
    fields[MODEL_ * stride] = line.model;
    fields[LABEL_ * stride] = line.label;
    rows->numbers[TIME_ * stride + row] = isnan(line.time[0]) ? line.time[1] : line.time[0];
    if (line.is_label) return 1;
    fields[VERSION_ * stride] = line.version;
    fields[PREDICTION_ * stride] = line.prediction;
    fields[USER_ * stride] = user.text == NULL ? 0 : (int32_t)(user.text - block);
    fields[USER_LENGTH_ * stride] = user.text == NULL ? ABSENT : (int32_t)user.length;
    rows->numbers[SCORE_ * stride + row] = line.score;
    rows->numbers[LATENCY_ * stride + row] = line.latency;
    rows->numbers[QUEUE_ * stride + row] = line.queue;
    return 1;
no_memory:
    PyErr_NoMemory();
    return FAILED;
}

/* ------------------------------------------------------------------ Plan as Python sees it */

static int keys_add(Keys *keys, const char *name, Py_ssize_t length, int32_t expected) {
    char text[LONGEST_TOKEN + 2];
    if (length > LONGEST_TOKEN) {
        PyErr_SetString(PyExc_ValueError, "a key is too long");
        return 0;
    }
    text[0] = '"';
    memcpy(text + 1, name, (size_t)length);
    text[length + 1] = '"';
    const int32_t found = names_id(&keys->names, text, (uint32_t)length + 2, 1);
    if (found == FAILED) PyErr_NoMemory();
    else if (found != expected) PyErr_SetString(PyExc_ValueError, "a key stands twice, or too many are alike");
    return found == expected;
}

static int keys_add_all(Keys *keys, PyObject *names) {
    const Py_ssize_t count = PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < count; i++) {
        char *text;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(names, i), &text, &length) < 0) return 0;
        if (!keys_add(keys, text, length, keys->names.count)) return 0;
    }
    return 1;
}

static int keys_close_list(Keys *keys) {
    const int32_t count = keys->names.count;
    keys->after = PyMem_Malloc(((size_t)count + 1) * sizeof(int32_t));
    if (keys->after == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (int32_t i = 0; i <= count; i++) keys->after[i] = ABSENT;
    return 1;
}

static void plan_dealloc(PyObject *object) {
    Plan *plan = (Plan *)object;
    PyTypeObject *type = Py_TYPE(object);
    names_close(&plan->header.names);
    names_close(&plan->features.names);
    names_close(&plan->words);
    names_close(&plan->tokens);
    PyMem_Free(plan->header.after);
    PyMem_Free(plan->features.after);
    PyMem_Free(plan->seen);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *plan_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    PyObject *numbers, *texts, *strange, *ignored;
    if (named != NULL && PyDict_Size(named) > 0) {
        PyErr_SetString(PyExc_TypeError, "Plan takes its arguments by place");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "O!O!O!O!", &PyTuple_Type, &numbers, &PyTuple_Type, &texts, &PyTuple_Type, &strange,
                          &PyTuple_Type, &ignored)) {
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Plan *plan = (Plan *)allocate(type, 0); /* all zero */
    if (plan == NULL) return NULL;
    if (PyTuple_Size(numbers) + PyTuple_Size(texts) + PyTuple_Size(strange) > MOST_KEYS
        || PyTuple_Size(ignored) > MOST_KEYS) {
        PyErr_SetString(PyExc_ValueError, "too many keys");
        goto failed;
    }
    if (!names_open(&plan->header.names) || !names_open(&plan->features.names) || !names_open(&plan->words)
        || !names_open(&plan->tokens)) {
        PyErr_NoMemory();
        goto failed;
    }
    for (int32_t i = 0; i < KEYS; i++) {
        plan->last_token[i] = ABSENT;
        if (!keys_add(&plan->header, KEY_NAMES[i], (Py_ssize_t)strlen(KEY_NAMES[i]), i)) goto failed;
    }
    if (!keys_add_all(&plan->header, ignored) || !keys_add_all(&plan->features, numbers)
        || !keys_add_all(&plan->features, texts) || !keys_add_all(&plan->features, strange)
        || !keys_close_list(&plan->header) || !keys_close_list(&plan->features)) {
        goto failed;
    }
    plan->numbers = (int32_t)PyTuple_Size(numbers);
    plan->texts = (int32_t)PyTuple_Size(texts);
    plan->strange = (int32_t)PyTuple_Size(strange);
    plan->seen = PyMem_Calloc((size_t)plan->features.names.count + 1, sizeof(uint64_t));
    if (plan->seen == NULL) {
        PyErr_NoMemory();
        goto failed;
    }
    return (PyObject *)plan;
failed:
    Py_DECREF(plan);
    return NULL;
}

/* A bytearray of `count` values of `size` bytes, and where they are. */
static PyObject *array(Py_ssize_t count, size_t size, void *place) {
    PyObject *found = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)size);
    if (found != NULL) {
        void *bytes = PyByteArray_AsString(found);
        memcpy(place, &bytes, sizeof bytes);
    }
    return found;
}

static PyObject *plan_parse(PyObject *object, PyObject *arguments) {
    Plan *plan = (Plan *)object;
    char *block;
    Py_ssize_t length, from, most, count = 0;
    PyObject *bytes, *result = NULL, *kept[8] = {NULL};
    if (!PyArg_ParseTuple(arguments, "O!nn", &PyBytes_Type, &bytes, &from, &most)) return NULL;
    if (PyBytes_AsStringAndSize(bytes, &block, &length) < 0) return NULL;
    if (from < 0 || from > length || most < 1 || most > (1 << 24) || length > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "no such lines");
        return NULL;
    }
    const char *const end = block + length;
    const char *p = block + from;
    int32_t *ends = NULL;
    Py_ssize_t room = 0;
    while (p < end && count < most) {
        const char *feed = memchr(p, '\n', (size_t)(end - p));
        if (count == room) {
            room = room * 2 + 1024;
            int32_t *more = PyMem_Realloc(ends, (size_t)room * sizeof(int32_t));
            if (more == NULL) {
                PyMem_Free(ends);
                return PyErr_NoMemory();
            }
            ends = more;
        }
        p = feed == NULL ? end : feed;
        ends[count++] = (int32_t)(p - block);
        if (feed != NULL) p++;
    }
    const Py_ssize_t stop = p - block;
    /* An odd number of cache lines from column to column, or they would all fight for the same places of the cache. */
    const Py_ssize_t stride = ((count + 7) / 8 | 1) * 8;
    Rows predictions = {0}, labels = {0};
    int32_t *left;
    Py_ssize_t left_count = 0;
    if ((kept[0] = array(stride * NUMBERS_, sizeof(double), &predictions.numbers)) == NULL
        || (kept[1] = array(stride * FIELDS_, sizeof(int32_t), &predictions.fields)) == NULL
        || (kept[2] = array(stride * plan->numbers, sizeof(double), &predictions.matrix)) == NULL
        || (kept[3] = array(stride * plan->texts, sizeof(int32_t), &predictions.texts)) == NULL
        || (kept[4] = array(stride * plan->strange, 1, &predictions.strange)) == NULL
        || (kept[5] = array(stride, sizeof(double), &labels.numbers)) == NULL
        || (kept[6] = array(stride * LABEL_FIELDS_, sizeof(int32_t), &labels.fields)) == NULL
        || (kept[7] = array(stride * 2, sizeof(int32_t), &left)) == NULL
        || (predictions.ids = PyList_New(0)) == NULL || (labels.ids = PyList_New(0)) == NULL) {
        goto done;
    }
    p = block + from;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int taken = take_line(plan, &predictions, &labels, stride, block, p, block + ends[i]);
        if (taken == FAILED) goto done;
        if (taken == LEFT) {
            left[left_count] = (int32_t)(p - block);
            left[stride + left_count++] = ends[i];
        }
        p = block + ends[i] + 1;
    }
    PyObject *words = names_new(&plan->words), *tokens = names_new(&plan->tokens);
    if (words != NULL && tokens != NULL) {
        plan->words.told = plan->words.count;
        plan->tokens.told = plan->tokens.count;
        result = Py_BuildValue("nnnnnn(OOOOOOOO)OOOO", count, predictions.count, labels.count, left_count,
                               stop, stride, kept[0], kept[1], kept[2], kept[3], kept[4], kept[5], kept[6],
                               kept[7], predictions.ids, labels.ids, words, tokens);
    }
    Py_XDECREF(words);
    Py_XDECREF(tokens);
done:
    PyMem_Free(ends);
    for (int i = 0; i < 8; i++) Py_XDECREF(kept[i]);
    Py_XDECREF(predictions.ids);
    Py_XDECREF(labels.ids);
    return result;
}

/* ------------------------------------------------------------------ users: keyed BLAKE2b of 64 bits */

static const uint64_t IV[8] = {
    UINT64_C(0x6A09E667F3BCC908), UINT64_C(0xBB67AE8584CAA73B), UINT64_C(0x3C6EF372FE94F82B),
    UINT64_C(0xA54FF53A5F1D36F1), UINT64_C(0x510E527FADE682D1), UINT64_C(0x9B05688C2B3E6C1F),
    UINT64_C(0x1F83D9ABFB41BD6B), UINT64_C(0x5BE0CD19137E2179)};

static inline uint64_t turned(uint64_t x, int n) { return x >> n | x << (64 - n); }

#define MIX(a, b, c, d, x, y)                                \
    do {                                                     \
        v[a] += v[b] + (x); v[d] = turned(v[d] ^ v[a], 32);  \
        v[c] += v[d];       v[b] = turned(v[b] ^ v[c], 24);  \
        v[a] += v[b] + (y); v[d] = turned(v[d] ^ v[a], 16);  \
        v[c] += v[d];       v[b] = turned(v[b] ^ v[c], 63);  \
    } while (0)

#define ROUND(a, b, c, d, e, f, g, h_, i, j, k, l, n, o, p, q)                                              \
    do {                                                                                                    \
        MIX(0, 4, 8, 12, m[a], m[b]); MIX(1, 5, 9, 13, m[c], m[d]);                                         \
        MIX(2, 6, 10, 14, m[e], m[f]); MIX(3, 7, 11, 15, m[g], m[h_]);                                      \
        MIX(0, 5, 10, 15, m[i], m[j]); MIX(1, 6, 11, 12, m[k], m[l]);                                       \
        MIX(2, 7, 8, 13, m[n], m[o]); MIX(3, 4, 9, 14, m[p], m[q]);                                         \
    } while (0)

/* Messages shorter than 2^64 bytes: the high word of the counter stays 0. */
static void compress(uint64_t h[8], const uint8_t block[128], uint64_t total, int last) {
    uint64_t v[16], m[16];
#if LITTLE_ENDIAN_BYTES
    memcpy(m, block, sizeof m);
#else
    for (int i = 0; i < 16; i++) {
        m[i] = 0;
        for (int j = 7; j >= 0; j--) m[i] = m[i] << 8 | block[i * 8 + j];
    }
#endif
    memcpy(v, h, 64);
    memcpy(v + 8, IV, 64);
    v[12] ^= total;
    if (last) v[14] = ~v[14];
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
    ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
    ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
    ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
    ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
    ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
    ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
    ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
    ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
    for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

/* The hash of one text that is not empty, from the state behind the key. */
static uint64_t user_hash(const uint64_t keyed[8], uint64_t total, const uint8_t *text, size_t length) {
    uint64_t h[8];
    uint8_t block[128];
    memcpy(h, keyed, 64);
    for (; length > 128; text += 128, length -= 128) {
        total += 128;
        compress(h, text, total, 0);
    }
    memset(block, 0, 128);
    memcpy(block, text, length);
    compress(h, block, total + length, 1);
    return h[0];
}

static PyObject *hash_users(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *bytes, *result = NULL;
    Py_buffer starts, lengths, key;
    char *block;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "O!y*y*y*", &PyBytes_Type, &bytes, &starts, &lengths, &key)) return NULL;
    const Py_ssize_t count = starts.len / (Py_ssize_t)sizeof(int32_t);
    if (PyBytes_AsStringAndSize(bytes, &block, &size) < 0) goto done;
    if (key.len > 64 || starts.len != lengths.len || starts.len % (Py_ssize_t)sizeof(int32_t) != 0) {
        PyErr_SetString(PyExc_ValueError, "a key of at most 64 bytes, a start and a length for each user");
        goto done;
    }
    uint64_t keyed[8], total = 0;
    memcpy(keyed, IV, 64);
    keyed[0] ^= UINT64_C(0x01010000) ^ (uint64_t)key.len << 8 ^ 8;
    if (key.len > 0) {
        uint8_t padded[128] = {0};
        memcpy(padded, key.buf, (size_t)key.len);
        total = 128;
        compress(keyed, padded, total, 0);
    }
    uint64_t *found;
    result = array(count, sizeof(uint64_t), &found);
    if (result == NULL) goto done;
    for (Py_ssize_t i = 0; i < count; i++) {
        int32_t start, length;
        memcpy(&start, (const char *)starts.buf + i * 4, 4);
        memcpy(&length, (const char *)lengths.buf + i * 4, 4);
        found[i] = 0;
        if (length <= 0) continue;
        if (start < 0 || (Py_ssize_t)start + length > size) {
            PyErr_SetString(PyExc_ValueError, "a user outside the block");
            Py_CLEAR(result);
            goto done;
        }
        found[i] = user_hash(keyed, total, (const uint8_t *)block + start, (size_t)length);
    }
done:
    PyBuffer_Release(&starts);
    PyBuffer_Release(&lengths);
    PyBuffer_Release(&key);
    return result;
}

/* ------------------------------------------------------------------ small things */

static PyObject *number(PyObject *module, PyObject *text) {
    (void)module;
    char *p;
    Py_ssize_t length;
    double value;
    int whole;
    if (PyBytes_AsStringAndSize(text, &p, &length) < 0) return NULL;
    if (number_end(p, p + length, &value, &whole) != p + length) Py_RETURN_NONE;
    return PyFloat_FromDouble(value);
}

static PyObject *line_feeds(PyObject *module, PyObject *text) {
    (void)module;
    char *p;
    Py_ssize_t length, count = 0;
    if (PyBytes_AsStringAndSize(text, &p, &length) < 0) return NULL;
    for (const char *const end = p + length; p < end; p++, count++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (p == NULL) break;
    }
    return PyLong_FromSsize_t(count);
}

static PyObject *seconds(PyObject *module, PyObject *text) {
    (void)module;
    char *p;
    Py_ssize_t length;
    double value;
    if (PyBytes_AsStringAndSize(text, &p, &length) < 0) return NULL;
    if (!text_seconds(p, p + length, &value)) Py_RETURN_NONE;
    return PyFloat_FromDouble(value);
}

/* ------------------------------------------------------------------ module */

static PyMethodDef plan_methods[] = {
    {"parse", plan_parse, METH_VARARGS,
     "parse(block, start, most_lines): what the plain ones of these lines hold; see _plain_lines.pyi."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot plan_slots[] = {{Py_tp_new, plan_new},
                                   {Py_tp_dealloc, plan_dealloc},
                                   {Py_tp_methods, plan_methods},
                                   {Py_tp_doc, "Plan(numbers, texts, strange, ignored): names of keys, as bytes."},
                                   {0, NULL}};

static PyType_Spec plan_spec = {"mlcanary.compiled._plain_lines.Plan", sizeof(Plan), 0, Py_TPFLAGS_DEFAULT, plan_slots};

static PyMethodDef functions[] = {
    {"hash_users", hash_users, METH_VARARGS, "hash_users(block, starts, lengths, key): 8 bytes each, 0 where empty."},
    {"line_feeds", line_feeds, METH_O, "How many line feeds are in this block."},
    {"number", number, METH_O, "The double of a JSON number, None where it is left to others."},
    {"seconds", seconds, METH_O, "Unix seconds of a text, None where it is left to others."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_plain_lines", "Plain native lines to arrays.", -1, functions, NULL, NULL, NULL, NULL};

#ifndef SOURCE
#define SOURCE "" /* of this file, SHA-256: a test looks whether the binary is of the source that lies beside it */
#endif

PyMODINIT_FUNC PyInit__plain_lines(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    PyObject *type = PyType_FromSpec(&plan_spec);
    if (type == NULL || PyModule_AddObjectRef(module, "Plan", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(module);
        return NULL;
    }
    Py_DECREF(type);
    if (PyModule_AddStringConstant(module, "SOURCE", SOURCE) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
