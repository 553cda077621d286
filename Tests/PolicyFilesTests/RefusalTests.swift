import PolicyFiles
import Steering
import Testing

/// One binding, with a line replaced.
private func entry(
    _ label: String = "label: web", _ protocols: String = "protocols: tcp",
    _ prefixes: String = "prefixes: 192.0.2.0/24", _ ports: String = "ports: 80"
) -> String {
    "bindings:\n  - \(label)\n    \(protocols)\n    \(prefixes)\n    \(ports)\n"
}

@Suite struct RefusalTests {
    @Test(
        "YAML and shape: each error has its place and its reason",
        arguments: [
            ("", "f:1:1:", "empty"),
            ("# nothing\n", "f:1:1:", "empty"),
            (
                "hello", "f:1:1:",
                "a policy is text here: write a mapping with the keys labels, pools, bindings, names, include"
            ),
            ("- a", "f:1:1:", "a policy is a list"),
            ("labels: {}\n", "f:1:1:", "has no bindings"),
            ("bindings:\n", "f:1:10:", "write a list"),
            ("bindings: {a: b}\n", "f:1:11:", "bindings is a mapping here"),
            ("bindings: [a]\n", "f:1:12:", "a binding is text"),
            ("bindings: [\n", "f:2:1:", "not a valid YAML"),
            ("bindings: [}\n", "f:1:12:", "not a valid YAML"),
            ("bindings: [::/0]\n", "f:1:12:", "put text that begins with a colon in quotes"),
            ("bindings: {a: ::/0}\n", "f:1:15:", "put text that begins with a colon in quotes"),
            ("a: b: c\n", "f:1:5:", "mapping values are not allowed in this context: put text with \": \" in quotes"),
            ("a: 1\n: x\n", "f:2:1:", ": fix the syntax"),
            (
                "a: " + String(repeating: "[", count: 9_000), "f:1:5:",
                "nested more than 16 levels deep: a policy needs four"
            ),
            ("\u{FEFF}bindings: []\nb: []\n", "f:2:1:", "is not a key"), ("\u{FEFF}c: []\n", "f:1:1:", "is not a key"),
            ("bindings: []\nbinding: []\n", "f:2:1:", "did you mean bindings?"),
            ("bindings: []\nxyz: []\n", "f:2:1:", "its keys are labels, pools, bindings, names, include"),
            (
                "bindings: []\nbindings: []\n", "f:2:1:",
                "the key \"bindings\" is in the same mapping already, at line 1: keep one of them"
            ),
            ("{\"bindings\": [], a: {b: 1}, 'bindings': []}", "f:1:29:", "already, at column 2"),
            ("labels: {}\nbindings: []\nlabels: {}\nlabels: {}", "f:3:1:", "\"labels\" is in the same mapping"),
            ("a: {b: 1, b: 2}\na: {b: 1, b: 2}", "f:1:11:", "\"b\" is in the same mapping"),
            ("bindings: [{ports: 1, on: x, ports: 2}]\nbindings: []", "f:1:30:", "\"ports\" is in the same mapping"),
            ("bindings: []\n---\nbindings: []\n", "f:2:1:", "document"),
            ("bindings: []\n[1]: 2\n", "f:2:1:", "a key is a list"),
            ("bindings: !!set {}\n", "f:1:11:", "the tag \"tag:yaml.org,2002:set\""),
            ("bindings: !x []\n", "f:1:11:", "the tag \"!x\""),
            ("a: &a [1]\nbindings: *a\n", "f:1:4:", "anchors and aliases"),
            ("bindings: *a\n", "f:1:11:", "undefined alias"),
            ("labels: [web]\nbindings: []", "f:1:9:", "labels is a list"),
            ("labels: {-web: {without-socket: pass}}\nbindings: []", "f:1:10:", "does not begin with a letter"),
            ("labels: {web: pass}\nbindings: []", "f:1:15:", "a label's options is text"),
            ("labels: {web: {}}\nbindings: []", "f:1:15:", "no without-socket: write refuse or pass"),
            (
                "labels: {web: {without: pass}}\nbindings: []", "f:1:16:",
                "\"without\" is not a key of a label's options"
            ),
            ("labels: {web: {without-socket: drop}}\nbindings: []", "f:1:32:", "write refuse or pass"),
            ("labels: {web: {allow: root}}\nbindings: []", "f:1:23:", "allow is text here"),
            ("labels: {web: {allow: {}}}\nbindings: []", "f:1:23:", "allow names nobody"),
            ("labels: {web: {allow: {user: root}}}\nbindings: []", "f:1:24:", "did you mean users?"),
            ("labels: {web: {allow: {users: []}}}\nbindings: []", "f:1:31:", "users is an empty list"),
            ("labels: {web: {allow: {groups: [a, [b]]}}}\nbindings: []", "f:1:36:", "groups is a list"),
            (
                "labels:\n  web: {without-socket: pass}\n  \"web\": {without-socket: pass}\nbindings: []", "f:3:3:",
                "in the same mapping already, at line 2"
            ),
        ])
    func shape(text: String, place: String, reason: String) {
        let message = refusal(of: text)
        #expect(message.hasPrefix(place + " ") && message.contains(reason), "\(message)")
    }

    @Test(
        "bindings: each error has its place and its reason",
        arguments: [
            (entry("prefix: web"), "f:2:5:", "did you mean prefixes?"),
            (entry("name: web"), "f:2:5:", "is not a key of a binding"),
            (entry("lable: web"), "f:2:5:", "did you mean label?"),
            (entry("label: -web"), "f:2:12:", "does not begin"),
            (entry("label: ~"), "f:2:12:", "label"),
            (entry("label:"), "f:2:11:", "label is empty"),
            (entry("label: [web]"), "f:2:12:", "label is a list"),
            (entry("{label: web}"), "f:3:5:", "not a valid YAML"),
            (entry("label: web\n    outcome: pass"), "f:3:14:", "both a label and an outcome"),
            (entry("outcome: drop"), "f:2:14:", "write refuse or pass"),
            (entry("ports: 90"), "f:5:5:", "\"ports\" is in the same mapping already, at line 2"),
            (entry("sport: 80"), "f:2:5:", "its keys are"), (entry("cname: web"), "f:2:5:", "its keys are"),
            (entry("pool_: web"), "f:2:5:", "did you mean pool?"), (entry("Label: a"), "f:2:5:", "did you mean label?"),
            (entry("prot: tcp"), "f:2:5:", "its keys are"), (entry("to: web"), "f:2:5:", "its keys are"),
            (
                "bindings: [{label: a, protocols: tcp, prefixes: 1.0.0.0/8, ports: 80,443, on: x}]", "f:1:70:",
                "\"443\" is not a key of a binding: in braces a comma ends the value, so write ports: [80, 443]"
            ),
            (
                "bindings: [{label: a, protocols: tcp, prefixes: 1.0.0.0/8, ports: 80,443,8000-8999}]", "f:1:70:",
                "so write ports: [80, 443, 8000-8999]"
            ),
            (
                "bindings: [{label: a, ports: 80, protocols: tcp, prefixes: 1.0.0.0/8,2.0.0.0/8}]", "f:1:70:",
                "so write prefixes: [1.0.0.0/8, 2.0.0.0/8]"
            ),
            (
                entry("label: web", "protocols: tcp", "prefixes: [1.0.0.0/8, '::ffff:192.0.2.0/120']"), "f:4:27:",
                "write 192.0.2.0/24"
            ),
            (entry("from: '::ffff:0.0.0.0/96'\n    label: web"), "f:2:11:", "write 0.0.0.0/0"),
            ("bindings: [{protocols: tcp, prefixes: 1.0.0.0/8, ports: 1}]", "f:1:12:", "no label"),
            (
                "bindings: [{label: a, prefixes: 1.0.0.0/8, ports: 1}]", "f:1:12:",
                "no protocols: write tcp, udp or tcp+udp"
            ),
            ("bindings: [{label: a, protocols: tcp, ports: 1}]", "f:1:12:", "no prefixes"),
            ("bindings: [{label: a, protocols: tcp, prefixes: 1.0.0.0/8}]", "f:1:12:", "no ports"),
            (entry("label: web", "protocols: TCP"), "f:3:16:", "\"TCP\""),
            (entry("label: web", "protocols: []"), "f:3:16:", "empty list"),
            (entry("label: web", "protocols: [tcp, sctp]"), "f:3:22:", "write tcp or udp"),
            (entry("label: web", "protocols: [[tcp]]"), "f:3:17:", "a list"),
            (entry("label: web", "protocols: tcp", "prefixes: []"), "f:4:15:", "empty list"),
            (entry("label: web", "protocols: tcp", "prefixes:"), "f:4:14:", "prefixes is empty"),
            (entry("label: web", "protocols: tcp", "prefixes: 192.0.2.1"), "f:4:15:", "write 192.0.2.1/32"),
            (entry("label: web", "protocols: tcp", "prefixes: [1.0.0.0/8, 192.0.2.1/24]"), "f:4:27:", "192.0.2.0/24"),
            (entry("label: web", "protocols: tcp", "prefixes: [a, 1.0.0.0/8]"), "f:4:16:", "not a prefix"),
            (entry("label: web", "protocols: tcp", "prefixes: {a: x}"), "f:4:15:", "prefixes is a mapping"),
            (entry("label: web", "protocols: tcp", "prefixes-from: x"), "f:4:20:", "read from a file"),
            (entry("label: web", "protocols: tcp", "prefixes: ::/0", "ports: []"), "f:5:12:", "empty list"),
            (entry("label: web", "protocols: tcp", "prefixes: ::/0", "ports: [80, [81]]"), "f:5:17:", "a list"),
            (entry("label: web", "protocols: tcp", "prefixes: ::/0", "ports: [80, all]"), "f:5:17:", "all is every"),
            (entry("from: []\n    label: web"), "f:2:11:", "from is an empty list"),
            (entry("from:\n    label: web"), "f:2:10:", "from is empty"),
            (entry("from: {a: b}\n    label: web"), "f:2:11:", "from is a mapping"),
            (entry("from: 10.0.0.1\n    label: web"), "f:2:11:", "write 10.0.0.1/32"),
            (entry("from: [10.0.0.0/8, 10.1.0.0/8]\n    label: web"), "f:2:24:", "10.0.0.0/8"),
            (entry("from: any\n    label: web"), "f:2:11:", "not a prefix"),
            (
                entry("from: [10.0.0.0/8, fd00::/8]\n    label: web"), "f:2:24:",
                "no prefix of this binding has the fam"
            ),
            (
                entry("from: 10.0.0.0/8\n    label: web", "protocols: tcp", "prefixes: [10.0.0.0/8, \"::/0\"]"),
                "f:2:11:",
                "no source here has the family of ::/0"
            ),
            (entry("form: 10.0.0.0/8\n    label: web"), "f:2:5:", "did you mean from?"),
            (entry("on: []\n    label: web"), "f:2:9:", "on is an empty list"),
            (entry("on: [eth0, {}]\n    label: web"), "f:2:16:", "on is a mapping"),
            (entry("on: eth0:1\n    label: web"), "f:2:9:", "interface \"eth0:1\" contains a character"),
            (entry("on: 1234567890123456\n    label: web"), "f:2:9:", "has 16 bytes"),
            (entry("on: \"\"\n    label: web"), "f:2:9:", "on is empty"),
        ])
    func binding(text: String, place: String, reason: String) {
        let message = refusal(of: text)
        #expect(message.hasPrefix(place + " ") && message.contains(reason), "\(message)")
    }

    @Test(
        "ports that YAML readers take for other numbers are refused",
        arguments: [
            "0o17", "0x50", "1_000", "22:22", "80.0", "8e1", "080", "+80", "-1", "65536", "'*'", "80 - 90", "90-80",
            "''",
            "true", "99999999999999999999999", "80,,90", "٨٠", "|\n      80",
        ])
    func ports(text: String) {
        let message = refusal(of: entry("label: web", "protocols: tcp", "prefixes: ::/0", "ports: \(text)"))
        #expect(message.hasPrefix("f:5:12: "), "\(message)")
    }

    @Test("conflicting bindings are named with both lines") func conflict() {
        let text = """
            bindings:
              - { label: a, protocols: tcp, prefixes: [192.0.2.0/24, 100::/16], ports: 80 }
              - { label: c, protocols: tcp, prefixes: [198.51.100.0/24], ports: 80 }
              - { label: b, protocols: tcp, prefixes: [100::/8, 192.0.2.0/24], ports: 80 }
              - { label: d, protocols: tcp, prefixes: [192.0.2.0/24], ports: 80 }
            """
        let message = refusal(of: text)
        #expect(
            message.hasPrefix("f:4:53: conflict with line 2: bindings 'tcp 192.0.2.0/24 80 -> label a'"), "\(message)"
        )
    }

    @Test(
        "JSON: each error has its place and its reason",
        arguments: [
            ("", "f:1:1:", "the file ends"),
            ("{\"bindings\": []", "f:1:16:", "the file ends where JSON needs , or }"),
            ("{\"bindings\": [],}", "f:1:17:", "a key in quotes here, not \"}\""),
            ("{\"bindings\": [1,]}", "f:1:17:", "JSON needs a value"),
            ("{\"bindings\": []} x", "f:1:18:", "the end of the file"),
            ("{bindings: []}", "f:1:2:", "a key in quotes"),
            ("{\"bindings\" []}", "f:1:13:", "needs :"),
            ("{\"bindings\": [] \"a\": 1}", "f:1:17:", "needs , or }"),
            ("# a\n{}", "f:1:1:", "needs a value"),
            ("{\"bindings\":\n null}", "f:2:2:", "null is not allowed in a policy"),
            ("{\"bindings\": [],\n \"bindings\": []}", "f:2:2:", "in the same mapping already, at line 1"),
            ("{\"bindings\": \"\\x\"}", "f:1:16:", "an escape"),
            ("{\"bindings\": \"\\u12\"}", "f:1:17:", "an escape"),
            ("{\"bindings\": \"\\u+123\"}", "f:1:17:", "an escape"),
            ("{\"bindings\": \"a\n\"}", "f:1:16:", "closing quote"),
            ("{\"bindings\": \"a", "f:1:16:", "closing quote"),
            ("{\"é\": 080}", "f:1:8:", "begins with 0"),
            ("{\"\\u00e9é\": 1.}", "f:1:15:", "a digit"),
            ("{\"bindings\": []}\u{FEFF}", "f:1:17:", "the end"),
        ])
    func json(text: String, place: String, reason: String) {
        let message = refusal(of: text, .json)
        #expect(message.hasPrefix(place + " ") && message.contains(reason), "\(message)")
    }

    @Test(
        "tubular: each error has its place and its reason",
        arguments: [
            ("{\"label\":\"a\"}", "f:1:16:", "no prefix"),
            ("{\"prefix\":\"::/0\"}", "f:1:16:", "no label"),
            ("{\"label\":\"a\",\"prefix\":\"x\"}", "f:1:38:", "not a prefix"),
            ("{\"label\":\"a\",\"prefix\":\"::1/129\"}", "f:1:38:", "prefix length"),
            ("{\"label\":\"a\",\"prefix\":\"::ffff:1.2.3.4\"}", "f:1:38:", "write 1.2.3.4/32"),
            ("{\"label\":\"a\",\"prefixes\":\"::/0\"}", "f:1:29:", "did you mean prefix?"),
            ("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":65536}", "f:1:52:", "port of tubular"),
            ("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":\"+1\"}", "f:1:52:", "port of tubular"),
            ("{\"label\":\"a b\",\"prefix\":\"::/0\"}", "f:1:25:", "not allowed"),
        ])
    func tubular(binding: String, place: String, reason: String) {
        let message = refusal(of: "{\"bindings\": [ \(binding)]}", .tubular)
        #expect(message.hasPrefix(place + " ") && message.contains(reason), "\(message)")
    }

    @Test("bytes that are not text are refused with their place", arguments: [PolicyFormat.yaml, .json, .tubular])
    func bytes(format: PolicyFormat) {
        func message(_ bytes: [UInt8]) -> String {
            do throws(SteeringError) {
                _ = try PolicyFile.parse(bytes, name: "f", format: format)
                return "no error"
            } catch { return error.message }
        }
        #expect(message(Array("{\"é\n".utf8) + [0xFF]).hasPrefix("f:2:1: the file is not UTF-8"))
        #expect(message(Array("{é".utf8) + [0]).hasPrefix("f:1:3: the control character \"\\u{0}\""))
        #expect(message(Array("{é\r\n ".utf8) + [0x1B]).hasPrefix("f:2:2: the control character"))
        #expect(message([0xED, 0xA0, 0x80]).hasPrefix("f:1:1: the file is not UTF-8"))
    }
}
