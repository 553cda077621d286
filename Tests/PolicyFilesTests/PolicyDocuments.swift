/// Documents that have every key, and random changes to them.
enum PolicyDocuments {
    /// Each is right, beside the files `blocked.txt` (prefixes) and `more.json`.
    static let texts = [
        #"{"bindings": []}"#,
        """
        {"labels": {"web": {"without-socket": "pass"}, "dns": {"allow": {"users": ["root", 1000], "groups": "root"}},
                    "api": {"without-socket": "refuse", "start": "/usr/bin/api --quiet"},
                    "log": {"start": {"command": ["/usr/bin/log", "-v", 7], "user": "root"}},
                    "raw": {"start": ["/usr/bin/raw", "a b"], "allow": {"groups": [7]}}},
         "pools": {"web": ["192.0.2.0/24", "2001:db8::/44"], "one": "203.0.113.7/32",
                   "all": {"prefixes": "198.51.100.0/24", "prefixes-from": "blocked.txt", "without-ends": true,
                           "drained-from": "drained.txt"},
                   "most": {"prefixes-from": "blocked.txt", "without-ends": "false"}},
         "bindings": [
           {"label": "web", "protocols": "tcp", "pool": "web", "ports": "80,443,8000-8999"},
           {"label": "dns", "protocols": ["tcp", "udp"], "prefixes": "192.0.2.53/32", "ports": 53},
           {"label": "api", "protocols": "tcp+udp", "prefixes": ["10.0.0.0/8", "fd00::/8"], "ports": [22, "100-200"],
            "from": ["10.1.0.0/16", "fd01::/16"], "on": "eth0"},
           {"outcome": "refuse", "protocols": "udp", "prefixes-from": "blocked.txt", "ports": "all"},
           {"outcome": "pass", "protocols": ["udp"], "prefixes": "172.16.0.0/12", "ports": ["all"],
            "from": "0.0.0.0/0", "on": ["lo", "eth0.1"]}],
         "names": {"zones": ["zone"], "policies": [{"name": "default", "pool": "web"}]}}
        """,
        """
        {"pools": {"web": ["192.0.2.0/24", "2001:db8::/44"], "few": "203.0.113.16/30"},
         "names": {"zones": ["zone", {"origin": "example.net", "file": "zone"}],
           "lists": {"customers": "customers.txt", "bad": {"file": "bad.txt", "match": "suffix"},
                     "good": {"file": "good.txt", "match": "exact"}, "fair": {"file": "fair.txt"}},
           "client-subnet": "use",
           "policies": [
             {"name": "free", "list": "customers", "attribute": "account=free", "pool": "few", "ttl": 30},
             {"name": "in", "suffix": ["a.example.com", "b.example.com"], "clients": ["10.0.0.0/8", "fd00::/8"],
              "pool": "few", "select": "client", "types": "A", "answers": 3},
             {"name": "from", "clients-from": "blocked.txt", "pool": "few", "answers": "16"},
             {"name": "here", "exact": "www.example.com", "site": "fra", "pool": "web", "select": "fixed",
              "types": ["A", "AAAA"], "exclusive": true},
             {"name": "off", "exact": ["x.example.com"], "clients": "0.0.0.0/0", "outcome": "refuse",
              "exclusive": "false"},
             {"name": "gone", "list": "bad", "outcome": "nxdomain"},
             {"name": "default", "outcome": "pass"}]}}
        """,
        """
        {"names": {"zones": {"file": "zone"}, "client-subnet": "ignore",
           "policies": {"name": "default", "pool": "p", "select": "name", "ttl": "0"}}, "pools": {"p": "::/0"}}
        """,
        #"{"include": ["more.json"], "names": {"policies": [{"name": "d", "pool": "more"}]}}"#,
        #"{"names": {"zones": "zone", "lists": {}, "policies": [{"name": "d", "pool": "p", "select": "random"}]},"#
            + #" "pools": {"p": "10.0.0.0/8"}, "bindings": []}"#,
    ]

    static func all() throws -> [JSONValue] { try texts.map(JSONValue.init) }

    /// The paths of all values, the whole included.
    static func paths(in value: JSONValue) -> [[Step]] {
        var paths: [[Step]] = [[]]
        for (key, part) in value.members.sorted(by: { $0.key < $1.key }) {
            paths += Self.paths(in: part).map { [.key(key)] + $0 }
        }
        for (index, part) in value.elements.enumerated() { paths += Self.paths(in: part).map { [.index(index)] + $0 } }
        return paths
    }

    enum Step {
        case key(String)
        case index(Int)
    }
}

extension JSONValue {
    /// The value with the part at a path changed; nil removes it.
    func changing(_ path: ArraySlice<PolicyDocuments.Step>, _ change: (JSONValue) -> JSONValue?) -> JSONValue? {
        guard let step = path.first else { return change(self) }
        switch (step, self) {
        case (.key(let key), .object(var members)):
            members[key] = members[key]!.changing(path.dropFirst(), change)
            return .object(members)
        case (.index(let index), .list(var elements)):
            if let part = elements[index].changing(path.dropFirst(), change) {
                elements[index] = part
            } else {
                elements.remove(at: index)
            }
            return .list(elements)
        default: return self
        }
    }
}

/// Changes documents at random, with the words of the documents and of the schema.
struct DocumentMutator {
    private var generator: SplitMix64
    private let documents: [JSONValue]
    private let keys: [String]
    private let values: [JSONValue]

    private static let oddities: [JSONValue] = [
        .null, .truth(true), .truth(false), .number(0), .number(-1), .number(65_536), .number(604_801), .text(""),
        .text(" "), .text("a b"), .text("/x"), .text("*"), .text("-a"), .text("."), .text("a/b"), .text("é"),
        .text("80,,90"), .text("080"), .text("90-80"), .text("192.0.2.1"), .text("192.0.2.1/24"), .text("::/129"),
        .text(String(repeating: "a", count: 65)), .list([]), .object([:]), .list([.list([])]), .text("all"),
        .list([.text("all"), .number(80)]), .text("A"), .text("tcp"), .text("a\"b"),
    ]

    init(seed: UInt64, _ documents: [JSONValue]) {
        generator = SplitMix64(seed: seed)
        self.documents = documents
        let all = documents.flatMap(Self.all)
        keys = Set(all.flatMap(\.members.keys)).sorted() + ["other", ""]
        values = Set(all).sorted { $0.json < $1.json } + Self.oddities
    }

    private static func all(in value: JSONValue) -> [JSONValue] {
        [value] + value.members.values.flatMap(all) + value.elements.flatMap(all)
    }

    mutating func next() -> JSONValue {
        var document = documents.randomElement(using: &generator)!
        for _ in 0..<Int.random(in: 1...3, using: &generator) { change(&document) }
        return document
    }

    private mutating func change(_ document: inout JSONValue) {
        let path = PolicyDocuments.paths(in: document).randomElement(using: &generator)!
        let value = values.randomElement(using: &generator)!, key = keys.randomElement(using: &generator)!
        let kind = Int.random(in: 0..<6, using: &generator)
        document =
            document.changing(path[...]) { old in
                switch (kind, old) {
                case (0, _): return path.isEmpty ? old : nil
                case (1, _): return .list([old])
                case (2, .list(let elements)): return elements.first ?? old
                case (3, .object(var members)):
                    members[key] = value
                    return .object(members)
                case (4, .list(let elements)): return .list(elements + [value])
                default: return value
                }
            } ?? document
    }
}
