/* gate_by_headers LINE CAMERA PART NOW NAME=VALUE...: PASS or REJECT by the Kafka headers of a result, without its body.
 *
 *     cc -std=c99 -o gate_by_headers gate_by_headers.c
 */
#include <stdio.h>
#include <stdlib.h>

#include "dlresult.h"

#define MOST_HEADERS 64

int main(int argc, char **argv) {
    struct header headers[MOST_HEADERS];
    size_t count = 0;
    if (argc < 5) {
        fprintf(stderr, "usage: gate_by_headers LINE CAMERA PART NOW NAME=VALUE...\n");
        return 2;
    }
    for (int i = 5; i < argc && count < MOST_HEADERS; i++) {
        char *equal_sign = strchr(argv[i], '=');
        if (!equal_sign) continue;
        *equal_sign = '\0';
        headers[count++] = (struct header){argv[i], equal_sign + 1, strlen(equal_sign + 1)};
    }
    puts(headers_pass(headers, count, argv[1], argv[2], argv[3], strtoll(argv[4], NULL, 10)) ? "PASS" : "REJECT");
    return 0;
}
