// SPDX-License-Identifier: Apache-2.0
// The command line of visitors.c, whose head tells what it means.
#pragma once
#include "counts.h"
#include <getopt.h>

enum { max_ports = 64, max_lanes = 1024 };

static struct {
    const char *suffix, *expect, *histogram;
    struct address server;
    unsigned server_port, ports[max_ports], port_count, per_connection, concurrency;
    uint64_t names, resolvers, requests;
    double skew, ipv6, rate, seconds, think, timeout;
    struct prefix sources[2];
    bool has_sources[2];
    FILE *timeline;
} options = {.suffix = "example.com", .ports = {80}, .port_count = 1, .per_connection = 7, .concurrency = 64,
             .names = 100000, .resolvers = 1000, .skew = 1, .timeout = 5};

static unsigned lane_count = 64;

static void usage(const char *what) {
    fprintf(stderr, "visitors: %s: see the comment at the top of visitors.c\n", what);
    exit(2);
}

// ADDRESS, ADDRESS:PORT, or [ADDRESS]:PORT for IPv6.
static void parse_server(char *text) {
    uint8_t bytes[16];
    char *port = strrchr(text, ':');
    options.server_port = 53;
    if (text[0] == '[') {
        char *close = strchr(text++, ']');
        if (!close) usage("--server has no ]");
        *close = 0;
        port = close[1] == ':' ? close + 1 : NULL;
    } else if (port != strchr(text, ':')) port = NULL;
    if (port) *port = 0, options.server_port = (unsigned)atoi(port + 1);
    bool is_six = strchr(text, ':') != NULL;
    if (inet_pton(is_six ? AF_INET6 : AF_INET, text, bytes) != 1) usage("--server is not an address");
    options.server = address_of(bytes, is_six);
}

static void parse_ports(char *text) {
    options.port_count = 0;
    for (char *port = strtok(text, ","); port; port = strtok(NULL, ",")) {
        if (options.port_count == max_ports) usage("--ports has more than 64");
        int number = atoi(port);
        if (number < 1 || number > 65535) usage("--ports has something that is not a port");
        options.ports[options.port_count++] = (unsigned)number;
    }
}

static void parse_options(int argc, char **argv) {
    static const struct option known[] = {
        {"server", 1, 0, 's'}, {"suffix", 1, 0, 'x'}, {"names", 1, 0, 'n'}, {"skew", 1, 0, 'k'},
        {"resolvers", 1, 0, 'v'}, {"ipv6", 1, 0, 'i'}, {"ports", 1, 0, 'p'}, {"requests-per-connection", 1, 0, 'e'},
        {"think", 1, 0, 't'}, {"expect", 1, 0, 'b'}, {"timeout", 1, 0, 'o'}, {"sources", 1, 0, '4'},
        {"sources6", 1, 0, '6'}, {"sockets", 1, 0, 'u'}, {"rate", 1, 0, 'r'}, {"concurrency", 1, 0, 'c'},
        {"requests", 1, 0, 'q'}, {"seconds", 1, 0, 'd'}, {"mark", 1, 0, 'm'}, {"histogram", 1, 0, 'h'},
        {"timeline", 1, 0, 'l'}, {0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 's': parse_server(optarg); break;
        case 'x': options.suffix = optarg; break;
        case 'n': options.names = strtoull(optarg, NULL, 10); break;
        case 'k': options.skew = atof(optarg); break;
        case 'v': options.resolvers = strtoull(optarg, NULL, 10); break;
        case 'i': options.ipv6 = atof(optarg); break;
        case 'p': parse_ports(optarg); break;
        case 'e': options.per_connection = (unsigned)atoi(optarg); break;
        case 't': options.think = atof(optarg); break;
        case 'b': options.expect = optarg; break;
        case 'o': options.timeout = atof(optarg); break;
        case '4': case '6':
            options.has_sources[option == '6'] = true;
            options.sources[option == '6'] = parse_prefix(optarg, option == '6' ? AF_INET6 : AF_INET);
            break;
        case 'u': lane_count = (unsigned)atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'c': options.concurrency = (unsigned)atoi(optarg); break;
        case 'q': options.requests = strtoull(optarg, NULL, 10); break;
        case 'd': options.seconds = atof(optarg); break;
        case 'm': add_mark(optarg); break;
        case 'h': options.histogram = optarg; break;
        case 'l': if (!(options.timeline = fopen(optarg, "w"))) fail(optarg); break;
        default: exit(2);
        }
    }
    if (optind < argc) usage(argv[optind]);
    if (!options.server_port) usage("--server is missing");
    if (!options.names || options.names > UINT32_MAX) usage("--names is not between 1 and 4,294,967,295");
    if (!options.resolvers || options.resolvers > INT32_MAX) usage("--resolvers is not between 1 and 2,147,483,647");
    if (!options.per_connection || !options.port_count) usage("a visit needs a request and a port");
    if (options.rate <= 0 && !options.concurrency) usage("neither --rate nor --concurrency is more than 0");
    if (lane_count < 1 || lane_count > max_lanes) usage("--sockets is not between 1 and 1,024");
    if (options.timeout <= 0) usage("--timeout must be more than 0");
}
