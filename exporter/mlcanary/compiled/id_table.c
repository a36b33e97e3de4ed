/* Finds remembered rows by the hash of their id: the two loops of `joins/id_table.py`, without an array per step.
 *
 * Guarantee: a table that either way made is read alike by both. Nothing outside the arrays that a call is given is
 * read or written, whatever they hold, and a row ends after each bucket was seen once.
 * Cost: two places of memory that no cache holds per row; those of the next rows are fetched meanwhile.
 * Limited API of Python 3.11, so one binary serves every later version.
 */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define FETCH(address) __builtin_prefetch(address)
#else
#define FETCH(address) ((void)(address))
#endif

enum { WIDTH = 16, AHEAD = 8, TOGETHER = 32 };
enum { MARKS, SLOTS, HASHES, FOURTH, VIEWS };

typedef struct {
    Py_buffer views[VIEWS];
    int open;
    uint16_t *marks;         /* buckets * WIDTH; 0: a free entry, and all behind it in its bucket are free too */
    int32_t *slots;          /* of the same entries */
    const uint64_t *hashes;  /* of the rows that are asked for */
    Py_ssize_t buckets, count;
} Table;

static void table_close(Table *table) {
    while (table->open > 0) PyBuffer_Release(&table->views[--table->open]);
}

/* An array of `size` bytes per value, from the arguments; its values, or -1. */
static Py_ssize_t table_view(Table *table, PyObject *object, int writable, size_t size) {
    Py_buffer *view = &table->views[table->open];
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) return -1;
    table->open++;
    if (view->len % (Py_ssize_t)size != 0 || (uintptr_t)view->buf % size != 0) {
        PyErr_SetString(PyExc_ValueError, "an array of another type");
        return -1;
    }
    return view->len / (Py_ssize_t)size;
}

/* The four arrays of a call; 0 with an error if they do not belong together. `fourth`: how many values it has. */
static int table_open(Table *table, PyObject *const objects[VIEWS], int writable, Py_ssize_t *fourth) {
    memset(table, 0, sizeof *table);
    const Py_ssize_t marks = table_view(table, objects[MARKS], writable, sizeof(uint16_t));
    const Py_ssize_t slots = marks < 0 ? -1 : table_view(table, objects[SLOTS], writable, sizeof(int32_t));
    table->count = slots < 0 ? -1 : table_view(table, objects[HASHES], 0, sizeof(uint64_t));
    *fourth = table->count < 0 ? -1 : table_view(table, objects[FOURTH], 0, sizeof(uint64_t));
    if (*fourth < 0) {
        table_close(table);
        return 0;
    }
    if (marks != slots || marks == 0 || marks % WIDTH != 0 || marks / WIDTH > UINT32_MAX) {
        table_close(table);
        PyErr_SetString(PyExc_ValueError, "buckets of sixteen marks and sixteen slots");
        return 0;
    }
    table->marks = table->views[MARKS].buf;
    table->slots = table->views[SLOTS].buf;
    table->hashes = table->views[HASHES].buf;
    table->buckets = marks / WIDTH;
    return 1;
}

static inline Py_ssize_t bucket_of(const Table *table, uint64_t hash) {
    return (Py_ssize_t)(((hash >> 32) * (uint64_t)table->buckets) >> 32);
}

static inline uint16_t mark_of(uint64_t hash) {
    const uint16_t mark = (uint16_t)hash;
    return mark ? mark : 1;
}

static inline void fetch(const Table *table, Py_ssize_t i) {
    if (i >= table->count) return;
    const Py_ssize_t entry = bucket_of(table, table->hashes[i]) * WIDTH;
    FETCH(table->marks + entry);
    FETCH(table->slots + entry);
}

/* Fetch the row that the first fitting mark of the first bucket leads to, which is nearly always the one. */
static inline void fetch_row(const Table *table, uint64_t hash, const uint64_t *held, Py_ssize_t held_count, Py_ssize_t stride) {
    const uint16_t mark = mark_of(hash);
    const Py_ssize_t entry = bucket_of(table, hash) * WIDTH;
    for (Py_ssize_t i = entry; i < entry + WIDTH; i++) {
        if (table->marks[i] != mark) continue;
        if (table->slots[i] >= 0 && table->slots[i] < held_count) FETCH(held + table->slots[i] * stride);
        return;
    }
}

static int64_t slot_of(const Table *table, uint64_t hash, const uint64_t *held, Py_ssize_t held_count, Py_ssize_t stride) {
    const uint16_t mark = mark_of(hash);
    Py_ssize_t bucket = bucket_of(table, hash);
    for (Py_ssize_t seen = 0; seen < table->buckets; seen++) {
        const uint16_t *marks = table->marks + bucket * WIDTH;
        for (int i = 0; i < WIDTH; i++) {
            if (marks[i] != mark) continue;
            const int32_t slot = table->slots[bucket * WIDTH + i];
            if (slot >= 0 && slot < held_count && held[slot * stride] == hash) return slot;
        }
        if (marks[WIDTH - 1] == 0) return -1;
        if (++bucket == table->buckets) bucket = 0;
    }
    return -1;
}

static PyObject *find(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *objects[VIEWS];
    Py_ssize_t stride, held_count;
    Table table;
    if (!PyArg_ParseTuple(arguments, "OOOOn", &objects[MARKS], &objects[SLOTS], &objects[HASHES], &objects[FOURTH], &stride)) {
        return NULL;
    }
    if (!table_open(&table, objects, 0, &held_count)) return NULL;
    PyObject *result = NULL;
    if (stride < 1 || stride > held_count + 1) {
        PyErr_SetString(PyExc_ValueError, "a stride that is none");
    } else if ((result = PyByteArray_FromStringAndSize(NULL, table.count * (Py_ssize_t)sizeof(int64_t))) != NULL) {
        const uint64_t *held = table.views[FOURTH].buf;
        char *found = PyByteArray_AsString(result);
        const Py_ssize_t rows = (held_count + stride - 1) / stride;
        for (Py_ssize_t first = 0; first < table.count; first += TOGETHER) {
            const Py_ssize_t last = first + TOGETHER < table.count ? first + TOGETHER : table.count;
            for (Py_ssize_t i = first; i < last; i++) fetch(&table, i);
            for (Py_ssize_t i = first; i < last; i++) fetch_row(&table, table.hashes[i], held, rows, stride);
            for (Py_ssize_t i = first; i < last; i++) {
                const int64_t slot = slot_of(&table, table.hashes[i], held, rows, stride);
                memcpy(found + i * 8, &slot, 8);
            }
        }
    }
    table_close(&table);
    return result;
}

static PyObject *add(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *objects[VIEWS];
    Py_ssize_t count, entered = 0;
    Table table;
    if (!PyArg_ParseTuple(arguments, "OOOO", &objects[MARKS], &objects[SLOTS], &objects[HASHES], &objects[FOURTH])) {
        return NULL;
    }
    if (!table_open(&table, objects, 1, &count)) return NULL;
    const int64_t *slots = table.views[FOURTH].buf;
    if (count != table.count) {
        table_close(&table);
        PyErr_SetString(PyExc_ValueError, "a slot for each hash");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < AHEAD; i++) fetch(&table, i);
    for (Py_ssize_t i = 0; i < count; i++) {
        fetch(&table, i + AHEAD);
        Py_ssize_t bucket = bucket_of(&table, table.hashes[i]), seen = 0;
        while (seen < table.buckets && table.marks[bucket * WIDTH + WIDTH - 1] != 0) {
            if (++bucket == table.buckets) bucket = 0;
            seen++;
        }
        if (seen == table.buckets) break;
        Py_ssize_t entry = bucket * WIDTH;
        while (table.marks[entry] != 0) entry++;
        table.marks[entry] = mark_of(table.hashes[i]);
        table.slots[entry] = (int32_t)slots[i];
        entered++;
    }
    table_close(&table);
    if (entered < count) {
        PyErr_SetString(PyExc_ValueError, "no entry is free");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *hashes_of(PyObject *module, PyObject *sequence) {
    (void)module;
    PyObject *items = PySequence_List(sequence);
    if (items == NULL) return NULL;
    const Py_ssize_t count = PyList_Size(items);
    PyObject *result = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t));
    if (result != NULL) {
        char *found = PyByteArray_AsString(result);
        for (Py_ssize_t i = 0; i < count; i++) {
            if (i + AHEAD < count) FETCH(PyList_GetItem(items, i + AHEAD));
            const Py_hash_t hash = PyObject_Hash(PyList_GetItem(items, i));
            if (hash == -1) {
                Py_CLEAR(result);
                break;
            }
            const int64_t wide = hash;
            memcpy(found + i * 8, &wide, 8);
        }
    }
    Py_DECREF(items);
    return result;
}

static PyMethodDef functions[] = {
    {"find", find, METH_VARARGS, "find(marks, slots, hashes, held, stride): a slot of 8 bytes for each, -1 where none."},
    {"add", add, METH_VARARGS, "add(marks, slots, hashes, rows): enter rows that `find` does not know."},
    {"hashes_of", hashes_of, METH_O, "hashes_of(items): Python's hash of each, 8 bytes."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_id_table", "Rows by the hash of their id.", -1, functions, NULL, NULL, NULL, NULL};

#ifndef SOURCE
#define SOURCE "" /* of this file, SHA-256: a test looks whether the binary is of the source that lies beside it */
#endif

PyMODINIT_FUNC PyInit__id_table(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddStringConstant(module, "SOURCE", SOURCE) < 0) Py_CLEAR(module);
    return module;
}
