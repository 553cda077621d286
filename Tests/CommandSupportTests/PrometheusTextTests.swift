import CommandSupport
import Testing

/// The Prometheus text exposition format, version 0.0.4.
struct PrometheusTextTests {
    @Test("Each metric has its help, its type and its samples, in the order in which they are added")
    func metrics() {
        var metrics = PrometheusText()
        metrics.add("queries_total", "Queries, by transport.", by: "transport", [("udp", 7), ("tcp", 0)])
        metrics.add(
            "sockets", "Registered sockets.",
            samples: [([("label", "web"), ("family", "IPv4")], 2), ([("label", "dns"), ("family", "IPv6")], 1)])
        metrics.add("read_seconds", "When the policy was read.", value: "1.500")
        #expect(
            metrics.text == """
                # HELP queries_total Queries, by transport.
                # TYPE queries_total counter
                queries_total{transport="udp"} 7
                queries_total{transport="tcp"} 0
                # HELP sockets Registered sockets.
                # TYPE sockets gauge
                sockets{label="web",family="IPv4"} 2
                sockets{label="dns",family="IPv6"} 1
                # HELP read_seconds When the policy was read.
                # TYPE read_seconds gauge
                read_seconds 1.500

                """)
    }

    @Test("A metric without samples is described all the same")
    func noSamples() {
        var metrics = PrometheusText()
        metrics.add("starts_total", "Starts.", by: "label", [(key: String, value: UInt64)]())
        #expect(metrics.text == "# HELP starts_total Starts.\n# TYPE starts_total counter\n")
    }

    @Test(
        "In the value of a label quotes, backslashes and line breaks are escaped, and nothing else",
        arguments: [
            (#"a"b"#, #"a\"b"#), (#"a\b"#, #"a\\b"#), ("a\nb", #"a\nb"#), (#"\""#, #"\\\""#), (#"\n"#, #"\\n"#),
            ("{a=b, c} # \t\u{e9}", "{a=b, c} # \t\u{e9}"), ("", ""),
        ])
    func escapes(value: String, escaped: String) {
        var metrics = PrometheusText()
        metrics.add("m", "Help.", by: "label", [(value, 1)])
        #expect(metrics.text.hasSuffix("\nm{label=\"\(escaped)\"} 1\n"))
    }

    @Test("The metrics of another program follow unchanged")
    func appended() {
        var metrics = PrometheusText()
        metrics.add("up", "Whether it answers.", value: 1)
        metrics.append("other{a=\"b\"} 2\n")
        #expect(metrics.text == "# HELP up Whether it answers.\n# TYPE up gauge\nup 1\nother{a=\"b\"} 2\n")
    }
}
