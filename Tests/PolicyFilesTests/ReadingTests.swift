import PolicyFiles
import Steering
import Testing

@Suite struct ReadingTests {
    private static let everything = """
        labels:
          web: { without-socket: pass }   # a comment & one *more
        bindings:
          - label: web
            protocols: tcp
            prefixes: [192.0.2.0/24, 2001:db8::/64]
            ports: 80,443,8000-8999
          - outcome: refuse
            protocols: [tcp, udp]
            prefixes: 198.51.100.7/32
            ports: [22, 100-200, "7,9"]
          - outcome: pass
            protocols: tcp+udp
            prefixes:
              - ::/0
            ports: all
        """

    private func expected() throws -> Policy {
        var policy = Policy([
            try Binding(.tcp, to: "192.0.2.0/24", ports: [80, 443, 8000...8999], .label("web")),
            try Binding(.tcp, to: "2001:db8::/64", ports: [80, 443, 8000...8999], .label("web")),
            try Binding(.both, to: "198.51.100.7/32", ports: [7, 9, 22, 100...200], .refuse),
            try Binding(.both, to: "::/0", ports: .all, .pass),
        ])
        policy["web"].withoutSocket = .pass
        return policy
    }

    @Test("a YAML policy is read") func yaml() throws {
        #expect(try PolicyFile.parse(Self.everything, name: "f", format: .yaml) == expected())
    }

    @Test("the same in JSON, with escapes, by both formats") func json() throws {
        let text = """
            {"labels": {"web": {"without-socket": "pass"}},
             "bindings": [
              {"label": "w\\u0065b", "protocols": "tcp", "prefixes": ["192.0.2.0\\/24", "2001:db8::/64"],
               "ports": "80,443,8000-8999"},
              {"outcome": "refuse", "protocols": ["udp", "tcp"], "prefixes": "198.51.100.7/32",
               "ports": [22, "100-200", "7,9"]},
              {"outcome": "pass", "protocols": "tcp+udp", "prefixes": ["::/0"], "ports": "all"}]}
            """
        #expect(try PolicyFile.parse(text, name: "f", format: .json) == expected())
        #expect(try PolicyFile.parse(text, name: "f", format: .yaml) == expected())
    }

    @Test("true and false in JSON are what they are in YAML, and a byte order mark is no text")
    func truth() throws {
        let text = """
            {"pools": {"web": {"prefixes": "192.0.2.0/24", "without-ends": true}},
             "bindings": [{"label": "web", "protocols": "tcp", "pool": "web", "ports": "all"}]}
            """
        let expected = try Policy([Binding(.tcp, to: "192.0.2.0/24", ports: .all, .label("web"))])
        for format in [PolicyFormat.json, .yaml] {
            for text in [text, "\u{FEFF}" + text, text.replacing("true", with: "false")] {
                #expect(try PolicyFile.parse(text, name: "f", format: format) == expected)
            }
            let wrong = refusal(of: text.replacing("true", with: "truer"), format)
            #expect(wrong.hasPrefix("f:1:6"), "\(wrong)")
        }
        #expect(refusal(of: text.replacing("true", with: "null"), .json).contains("null is not allowed in a policy"))
        #expect(refusal(of: text.replacing("\"web\",", with: "true,"), .json).contains("\"true\""))
    }

    @Test("sources and interfaces: one or a list, each with each, and with the prefixes of its family")
    func conditions() throws {
        let text = """
            bindings:
              - label: web
                protocols: tcp
                prefixes: [192.0.2.0/24, 2001:db8::/64]
                ports: 80
                from: [198.51.100.0/24, 203.0.113.0/24, fd00::/8]
                on: [eth0, eth1]
              - { outcome: pass, protocols: udp, prefixes: "::/0", ports: all, "on": lo }
              - { outcome: refuse, protocols: udp, prefixes: "::/0", ports: all, from: ["::/0", fd00::/8] }
            """
        let policy = try PolicyFile.parse(text, name: "f", format: .yaml)
        #expect(
            policy.bindings.map(\.description) == [
                "tcp 192.0.2.0/24 80 from 198.51.100.0/24 on eth0 -> label web",
                "tcp 192.0.2.0/24 80 from 198.51.100.0/24 on eth1 -> label web",
                "tcp 192.0.2.0/24 80 from 203.0.113.0/24 on eth0 -> label web",
                "tcp 192.0.2.0/24 80 from 203.0.113.0/24 on eth1 -> label web",
                "udp ::/0 all from fd00::/8 -> refuse", "udp ::/0 all on lo -> pass", "udp ::/0 all -> refuse",
                "tcp 2001:db8::/64 80 from fd00::/8 on eth0 -> label web",
                "tcp 2001:db8::/64 80 from fd00::/8 on eth1 -> label web",
            ])
        let json = """
            {"bindings": [{"label": "web", "protocols": "tcp", "prefixes": "::/0", "ports": 80,
             "from": "fd00::/8", "on": ["a\\"b", "c\\\\d"]}]}
            """
        let quoted = try PolicyFile.parse(json, name: "f", format: .json)
        #expect(quoted.bindings.map(\.interface) == ["a\"b", "c\\d"])
    }

    @Test("words that YAML readers misread are texts", arguments: ["no", "yes", "null", "1", "0x1F", "1e3", "~x"])
    func misreadWords(word: String) throws {
        let text = "bindings: [{label: \(word), protocols: tcp, prefixes: 2::/16, ports: 80}]"
        let policy = try? PolicyFile.parse(text, name: "f", format: .yaml)
        #expect(policy?.labels.map(\.name) == (word == "~x" ? nil : [word]))
    }

    @Test("a policy without bindings is read in every format", arguments: PolicyFormat.allCases)
    func empty(format: PolicyFormat) throws {
        #expect(try PolicyFile.parse("{\"bindings\": []}", name: "f", format: format).isEmpty)
    }

    @Test("a tubular file: TCP and UDP, port 0 or none is every port, addresses alone, bits to the right")
    func tubular() throws {
        let text = """
            {"bindings":[{"label":"foo","prefix":"127.0.0.0/8","port":80}, {"label":"bar","prefix":"::1/64","port":0},
             {"label":"baz","prefix":"127.0.0.1"}, {"label":"any","prefix":"127.0.0.0/8"}]}
            """
        let policy = try PolicyFile.parse(text, name: "f", format: .tubular)
        #expect(
            policy
                == Policy([
                    try Binding(.both, to: "127.0.0.0/8", ports: [80], .label("foo")),
                    try Binding(.both, to: "::/64", ports: .all, .label("bar")),
                    try Binding(.both, to: "127.0.0.1/32", ports: .all, .label("baz")),
                    try Binding(.both, to: "127.0.0.0/8", ports: .all, .label("any")),
                ]))
    }

    @Test("what is written is read as an equal policy, and written the same again", arguments: 1...4)
    func roundTrip(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        for _ in 0..<150 {
            let policy = try randomPolicy(using: &generator)
            for output in PolicyFile.Output.allCases {
                let text = PolicyFile.write(policy, as: output)
                for format in output == .json ? [PolicyFormat.json, .yaml] : [.yaml] {
                    let read = try PolicyFile.parse(text, name: "f", format: format)
                    try #require(read == policy, "\(text)")
                }
            }
        }
    }

    @Test("the text of sources and interfaces is short, and plain to all readers") func conditionsAreWritten() throws {
        var policy = Policy()
        for prefix in ["192.0.2.0/24", "198.51.100.0/24"] as [IPPrefix] {
            for source in ["10.0.0.0/8", "172.16.0.0/12"] as [IPPrefix] {
                policy.bind(try Binding(.tcp, to: prefix, ports: [22], from: source, on: "eth1", .label("admin")))
            }
        }
        policy.bind(try Binding(.tcp, to: "192.0.2.0/24", ports: [22], on: "on", .pass))
        #expect(
            PolicyFile.write(policy, as: .yaml) == """
                bindings:
                  - label: admin
                    protocols: tcp
                    prefixes:
                      - 192.0.2.0/24
                      - 198.51.100.0/24
                    ports: 22
                    from:
                      - 172.16.0.0/12
                      - 10.0.0.0/8
                    "on": eth1
                  - outcome: pass
                    protocols: tcp
                    prefixes: 192.0.2.0/24
                    ports: 22
                    "on": "on"

                """)
        #expect(
            PolicyFile.write(policy, as: .json).hasSuffix(
                """
                    {
                      "outcome": "pass",
                      "protocols": "tcp",
                      "prefixes": [
                        "192.0.2.0/24"
                      ],
                      "ports": "22",
                      "on": "on"
                    }
                  ]
                }

                """))
    }

    @Test("the text of a policy is canonical") func canonicalText() throws {
        let written = PolicyFile.write(try expected(), as: .yaml)
        #expect(
            written == """
                labels:
                  web: { without-socket: pass }
                bindings:
                  - label: web
                    protocols: tcp
                    prefixes:
                      - 192.0.2.0/24
                      - 2001:db8::/64
                    ports: 80,443,8000-8999
                  - outcome: refuse
                    protocols: tcp+udp
                    prefixes: 198.51.100.7/32
                    ports: 7,9,22,100-200
                  - outcome: pass
                    protocols: tcp+udp
                    prefixes: "::/0"
                    ports: all

                """)
        #expect(PolicyFile.write(Policy(), as: .yaml) == "bindings: []\n")
        #expect(PolicyFile.write(Policy(), as: .json) == "{\n  \"bindings\": []\n}\n")
    }
}

extension IPPrefix: ExpressibleByStringLiteral {
    public init(stringLiteral text: String) { try! self.init(text) }
}
