/* read_result LINE CAMERA PART NOW < RESULT: prints what a verdict says, its region as a picture, and PASS or REJECT.
 *
 *     cc -std=c99 -o read_result read_result.c
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "dlresult.h"

#define LARGEST_MESSAGE (1 << 20)
#define LARGEST_SHOWN 64

struct picture {
    char pixels[LARGEST_SHOWN][LARGEST_SHOWN + 1];
};

static void draw(void *context, int64_t x, int64_t y, int64_t length) {
    struct picture *picture = context;
    for (; length > 0; length--, y++) picture->pixels[y][x] = '#';
}

static void print_region(const struct dlresult *r) {
    struct picture picture;
    int is_small = r->region_width <= LARGEST_SHOWN && r->region_height <= LARGEST_SHOWN;
    int64_t area;
    memset(&picture, '.', sizeof picture);
    area = region_runs(r, is_small ? draw : NULL, &picture);
    printf("region %" PRId64 " of %" PRId64 " x %" PRId64 " pixels\n", r->region_area, r->region_width, r->region_height);
    if (area < 0 || !is_small) return; /* the code was left out, or the picture is large */
    for (int64_t y = 0; y < r->region_height; y++) printf("%.*s\n", (int)r->region_width, picture.pixels[y]);
}

int main(int argc, char **argv) {
    static uint8_t message[LARGEST_MESSAGE];
    struct dlresult r;
    size_t size = fread(message, 1, sizeof message, stdin);
    if (argc != 5) {
        fprintf(stderr, "usage: read_result LINE CAMERA PART NOW < RESULT\n");
        return 2;
    }
    if (!dlresult_read(message, size, &r)) {
        printf("REJECT (cannot be read)\n");
        return 0;
    }
    printf("status %.*s\n", (int)r.status.size, (const char *)r.status.data);
    if (r.score >= 0) printf("score %g threshold %g\n", r.score, r.threshold);
    if (r.has_region) print_region(&r);
    printf("%s\n", dlresult_passes(&r, argv[1], argv[2], argv[3], strtoll(argv[4], NULL, 10)) ? "PASS" : "REJECT");
    return 0;
}
