/* Reads a verdict of line-inspector: C99, one file, no library, no memory of its own.
 *
 * dlresult_read    reads the value of a record of the results topic (a DLResultMessage).
 * dlresult_passes  says whether it passes a part.
 * headers_pass     says the same from the Kafka headers alone.
 * region_runs      decodes the region, run by run.
 *
 * Everything that cannot be read passes nothing: the functions return 0 then. The result_id is not recomputed; it is BLAKE2b
 * over the identity, see schemas/vectors/README.md.
 */
#ifndef DLRESULT_H
#define DLRESULT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DLRESULT_MAX_DEPTH 16
#define DLRESULT_MAX_SIDE 65535 /* of a picture, pixels */

struct slice { /* Bytes inside the message; data is NULL where the message has nil or no such key. */
    const uint8_t *data;
    size_t size;
};

struct dlresult {
    struct slice result_id, line_id, camera_id, part_id, status, deployment;
    int64_t captured_at, deadline_at, produced_at; /* microseconds since 1970-01-01 UTC; -1: nil */
    int64_t class_id;                              /* 0 ok, 1 nok */
    double score, threshold;                       /* -1: nil */
    int is_simulated;
    int has_region;
    int64_t region_width, region_height, region_area;
    struct slice region_counts; /* run-length code; NULL where it was too long to be sent */
};

/* ---------------------------------------------------------------------------------------------------------- msgpack */

struct reader {
    const uint8_t *at, *end;
    int failed;
};

enum kind { K_NIL, K_BOOL, K_INT, K_FLOAT, K_STR, K_BIN, K_ARRAY, K_MAP, K_BAD };

struct value {
    enum kind kind;
    int64_t integer; /* of a boolean and an integer; number of entries of an array and a map */
    double number;   /* of a float, and of an integer */
    struct slice bytes;
};

static inline uint64_t take_big_endian(struct reader *r, int size) {
    uint64_t value = 0;
    if (r->end - r->at < size) {
        r->failed = 1;
        r->at = r->end;
        return 0;
    }
    while (size--) value = value << 8 | *r->at++;
    return value;
}

static inline struct value of_bytes(struct reader *r, enum kind kind, uint64_t size) {
    struct value v = {K_BAD, 0, 0, {NULL, 0}};
    if (r->failed || (uint64_t)(r->end - r->at) < size) {
        r->failed = 1;
        return v;
    }
    v.kind = kind;
    v.bytes.data = r->at;
    v.bytes.size = (size_t)size;
    r->at += size;
    return v;
}

static inline struct value of_integer(enum kind kind, int64_t integer) {
    struct value v = {kind, integer, (double)integer, {NULL, 0}};
    return v;
}

static inline struct value of_float(double number) {
    struct value v = {K_FLOAT, 0, number, {NULL, 0}};
    return v;
}

/* One value; of an array or a map its head, behind which the entries follow. */
static inline struct value take(struct reader *r) {
    uint8_t first = (uint8_t)take_big_endian(r, 1);
    if (r->failed) return of_integer(K_BAD, 0);
    if (first <= 0x7f) return of_integer(K_INT, first);
    if (first <= 0x8f) return of_integer(K_MAP, first & 0x0f);
    if (first <= 0x9f) return of_integer(K_ARRAY, first & 0x0f);
    if (first <= 0xbf) return of_bytes(r, K_STR, first & 0x1f);
    if (first >= 0xe0) return of_integer(K_INT, (int8_t)first);
    switch (first) {
    case 0xc0: return of_integer(K_NIL, 0);
    case 0xc2: return of_integer(K_BOOL, 0);
    case 0xc3: return of_integer(K_BOOL, 1);
    case 0xc4: case 0xc5: case 0xc6: return of_bytes(r, K_BIN, take_big_endian(r, 1 << (first - 0xc4)));
    case 0xd9: case 0xda: case 0xdb: return of_bytes(r, K_STR, take_big_endian(r, 1 << (first - 0xd9)));
    case 0xca: {
        uint32_t bits = (uint32_t)take_big_endian(r, 4);
        float number;
        memcpy(&number, &bits, sizeof number);
        return of_float(number);
    }
    case 0xcb: {
        uint64_t bits = take_big_endian(r, 8);
        double number;
        memcpy(&number, &bits, sizeof number);
        return of_float(number);
    }
    case 0xcc: case 0xcd: case 0xce: case 0xcf: {
        uint64_t number = take_big_endian(r, 1 << (first - 0xcc));
        return number > INT64_MAX ? of_integer(K_BAD, 0) : of_integer(K_INT, (int64_t)number);
    }
    case 0xd0: return of_integer(K_INT, (int8_t)take_big_endian(r, 1));
    case 0xd1: return of_integer(K_INT, (int16_t)take_big_endian(r, 2));
    case 0xd2: return of_integer(K_INT, (int32_t)take_big_endian(r, 4));
    case 0xd3: return of_integer(K_INT, (int64_t)take_big_endian(r, 8));
    case 0xdc: case 0xdd: return of_integer(K_ARRAY, (int64_t)take_big_endian(r, 2 << (first - 0xdc)));
    case 0xde: case 0xdf: return of_integer(K_MAP, (int64_t)take_big_endian(r, 2 << (first - 0xde)));
    default: return of_integer(K_BAD, 0); /* extension types are not used */
    }
}

static inline void skip(struct reader *r, struct value v, int depth) {
    int64_t entries = v.kind == K_MAP ? 2 * v.integer : v.kind == K_ARRAY ? v.integer : 0;
    if (v.kind == K_BAD || depth > DLRESULT_MAX_DEPTH) r->failed = 1;
    while (entries-- > 0 && !r->failed) skip(r, take(r), depth + 1);
}

static inline int equals(struct slice text, const char *other) {
    return text.data && text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

/* ------------------------------------------------------------------------------------------------------- the message */

static inline struct slice a_text(struct reader *r, struct value v) {
    if (v.kind != K_STR && v.kind != K_NIL) r->failed = 1;
    return v.bytes;
}

static inline int64_t an_integer(struct reader *r, struct value v) {
    if ((v.kind != K_INT && v.kind != K_NIL) || v.integer < 0) r->failed = 1;
    return v.kind == K_INT ? v.integer : -1;
}

static inline double a_number(struct reader *r, struct value v) {
    if (v.kind == K_NIL) return -1;
    if ((v.kind != K_FLOAT && v.kind != K_INT) || !(v.number >= 0)) r->failed = 1; /* also NaN */
    return v.number;
}

static inline void read_region(struct reader *r, struct value map, struct dlresult *out) {
    out->has_region = map.kind == K_MAP;
    if (map.kind != K_MAP && map.kind != K_NIL) r->failed = 1;
    for (int64_t n = map.kind == K_MAP ? map.integer : 0; n > 0 && !r->failed; n--) {
        struct slice key = a_text(r, take(r));
        struct value v = take(r);
        if (equals(key, "width")) out->region_width = an_integer(r, v);
        else if (equals(key, "height")) out->region_height = an_integer(r, v);
        else if (equals(key, "area")) out->region_area = an_integer(r, v);
        else if (equals(key, "counts") && (v.kind == K_BIN || v.kind == K_NIL)) out->region_counts = v.bytes;
        else skip(r, v, 1);
    }
    if (out->region_width > DLRESULT_MAX_SIDE || out->region_height > DLRESULT_MAX_SIDE) r->failed = 1;
}

/* Returns 1 where the message could be read and contradicts itself nowhere. */
static inline int dlresult_read(const uint8_t *data, size_t size, struct dlresult *out) {
    struct reader r = {data, data + size, 0};
    struct value map = take(&r);
    int64_t version = -1;
    struct slice class_name = {NULL, 0};
    memset(out, 0, sizeof *out);
    out->captured_at = out->deadline_at = out->produced_at = out->class_id = -1;
    out->score = out->threshold = -1;
    if (map.kind != K_MAP) return 0;
    for (int64_t n = map.integer; n > 0 && !r.failed; n--) {
        struct slice key = a_text(&r, take(&r));
        struct value v = take(&r);
        if (equals(key, "v")) version = an_integer(&r, v);
        else if (equals(key, "result_id")) out->result_id = a_text(&r, v);
        else if (equals(key, "line_id")) out->line_id = a_text(&r, v);
        else if (equals(key, "camera_id")) out->camera_id = a_text(&r, v);
        else if (equals(key, "part_id")) out->part_id = a_text(&r, v);
        else if (equals(key, "status")) out->status = a_text(&r, v);
        else if (equals(key, "deployment")) out->deployment = a_text(&r, v);
        else if (equals(key, "captured_at")) out->captured_at = an_integer(&r, v);
        else if (equals(key, "deadline_at")) out->deadline_at = an_integer(&r, v);
        else if (equals(key, "produced_at")) out->produced_at = an_integer(&r, v);
        else if (equals(key, "anomaly_class_id")) out->class_id = an_integer(&r, v);
        else if (equals(key, "anomaly_class")) class_name = a_text(&r, v);
        else if (equals(key, "anomaly_score")) out->score = a_number(&r, v);
        else if (equals(key, "classification_threshold")) out->threshold = a_number(&r, v);
        else if (equals(key, "is_simulated") && v.kind == K_BOOL) out->is_simulated = (int)v.integer;
        else if (equals(key, "anomaly_region")) read_region(&r, v, out);
        else skip(&r, v, 1); /* a later program may add keys */
    }
    if (r.failed || r.at != r.end || version != 1 || out->result_id.size != 32) return 0;
    if (!equals(class_name, out->class_id == 0 ? "ok" : "nok") || out->class_id < 0 || out->class_id > 1) return 0;
    if (!equals(out->status, "inspected")) return out->class_id == 1 && out->score < 0;
    if (out->score < 0 || out->threshold < 0) return 0;
    if (out->class_id == 0) return out->score < out->threshold && out->captured_at <= out->produced_at;
    return 1;
}

/* Whether a verdict passes this part: a positive ok, about this picture's part, in time, not a test. `now`: microseconds UTC. */
static inline int dlresult_passes(const struct dlresult *r, const char *line, const char *camera, const char *part, int64_t now) {
    return r->class_id == 0 && !r->is_simulated && equals(r->line_id, line) && equals(r->camera_id, camera)
        && equals(r->part_id, part) && r->captured_at >= 0 && r->captured_at <= now && now <= r->deadline_at;
}

/* ------------------------------------------------------------------------------------------------------- the headers */

struct header { /* As Kafka clients give it: the name ends with 0, the value need not. */
    const char *name;
    const void *value;
    size_t size;
};

static inline struct slice header_of(const struct header *headers, size_t count, const char *name) {
    struct slice found = {NULL, 0};
    for (size_t i = 0; i < count; i++) {
        if (strcmp(headers[i].name, name) != 0) continue;
        if (found.data) return (struct slice){NULL, 0}; /* twice: nothing is believed */
        found.data = headers[i].value;
        found.size = headers[i].size;
    }
    return found;
}

static inline int64_t digits(struct slice text) {
    int64_t value = 0;
    if (!text.data || text.size == 0 || text.size > 16) return -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return -1;
        value = 10 * value + (text.data[i] - '0');
    }
    return value;
}

/* Whether the headers of a result pass this part; a header that is missing, or there twice, passes nothing. */
static inline int headers_pass(
    const struct header *headers, size_t count, const char *line, const char *camera, const char *part, int64_t now
) {
    int64_t captured_at = digits(header_of(headers, count, "captured_at"));
    int64_t deadline_at = digits(header_of(headers, count, "deadline_at"));
    return equals(header_of(headers, count, "anomaly_class_id"), "0")
        && equals(header_of(headers, count, "is_simulated"), "0")
        && equals(header_of(headers, count, "line_id"), line)
        && equals(header_of(headers, count, "camera_id"), camera)
        && equals(header_of(headers, count, "part_id"), part)
        && captured_at >= 0 && captured_at <= now && now <= deadline_at;
}

/* -------------------------------------------------------------------------------------------------------- the region */

/* Calls `run` for each vertical run of region pixels: column x, first row y, number of pixels; from left to right. The code is
 * COCO's: background and region in turn, down the columns. Returns the number of region pixels, or -1 where it is no such code. */
static inline int64_t region_runs(
    const struct dlresult *r, void (*run)(void *context, int64_t x, int64_t y, int64_t length), void *context
) {
    int64_t before[2] = {0, 0}, place = 0, area = 0, value = 0, pixels = r->region_width * r->region_height;
    int count = 0, shift = 0;
    if (!r->has_region || !r->region_counts.data || r->region_width < 1 || r->region_height < 1) return -1;
    for (size_t i = 0; i < r->region_counts.size; i++) {
        int bits = r->region_counts.data[i] - 48;
        if (bits < 0 || bits > 63 || shift >= 35) return -1;
        value |= (int64_t)(bits & 0x1f) << shift;
        shift += 5;
        if (bits & 0x20) continue;
        if (bits & 0x10) value -= (int64_t)1 << shift;
        if (count >= 3) value += before[count % 2];
        if (value < 0 || value > pixels - place) return -1;
        before[count % 2] = value;
        if (count % 2) {
            area += value;
            for (int64_t left = value, at = place; left > 0;) {
                int64_t y = at % r->region_height, length = r->region_height - y < left ? r->region_height - y : left;
                if (run) run(context, at / r->region_height, y, length);
                at += length;
                left -= length;
            }
        }
        place += value;
        count++;
        value = 0;
        shift = 0;
    }
    return shift || place != pixels ? -1 : area;
}

#endif
