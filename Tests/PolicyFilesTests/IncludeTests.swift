import Glibc
import PolicyFiles
import Steering
import SteeringDNS
import Testing

/// Policies of several files.
@Suite struct IncludeTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func read(_ text: String) throws -> String {
        let path = try directory.write(text, to: "policy.yaml")
        do throws(SteeringError) {
            return try PolicyFile.read(contentsOf: path).bindings.map(\.description).joined(separator: ", ")
        } catch { return error.message.replacing(directory.path + "/", with: "") }
    }

    private static func bindings(_ prefix: String, _ label: String = "a") -> String {
        "bindings:\n  - { label: \(label), protocols: tcp, prefixes: \(prefix), ports: 1 }\n"
    }

    @Test("Bindings, labels and pools of all files are one policy, whatever their formats")
    func joined() throws {
        try directory.write(
            "labels: { a: { without-socket: pass } }\npools: { p: 10.1.0.0/16 }\n" + Self.bindings("10.2.0.0/16"),
            to: "a.yaml")
        try directory.write(
            #"{"labels": {"b": {"without-socket": "pass"}}, "include": "b.yaml", "pools": {"q": "10.3.0.0/16"}}"#,
            to: "more.json")
        try directory.write(Self.bindings("10.4.0.0/16", "b"), to: "b.yaml")
        let path = try directory.write(
            "include: [a.yaml, more.json]\nbindings:\n  - { label: b, protocols: tcp, pool: q, ports: 1 }\n"
                + "  - { label: a, protocols: tcp, pool: p, ports: 1 }\n", to: "policy.yaml")
        let policy = try PolicyFile.readForService(contentsOf: path)
        #expect(
            policy.policy.bindings.map(\.prefix) == ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"])
        #expect(policy.policy["a"].withoutSocket == .pass && policy.policy["b"].withoutSocket == .pass)
        #expect(policy.included == ["a.yaml", "more.json", "b.yaml"].map { "\(directory.path)/\($0)" })
    }

    @Test("Policies of names come in the order of the files, the file's own last; the files are watched")
    func names() throws {
        try directory.write(
            "names:\n  zones: zone\n  lists: { l: l.txt }\n  policies: [{ name: first, exact: a.example.com, pool: p }]\n",
            to: "a.yaml")
        try directory.write(
            "pools: { p: 10.0.0.0/8 }\nnames:\n  policies: { name: second, list: l, pool: p, ttl: 9 }\n", to: "b.yaml")
        let path = try directory.write(
            "include: [a.yaml, b.yaml]\nnames: { zones: [other], policies: [{ name: last, pool: p }] }\n",
            to: "policy.yaml")
        let outline = try NamePolicyOutline(contentsOf: path)
        #expect(outline.answered.map(\.pool.name) == ["p"] && outline.answered[0].ttl == 60)
        #expect(outline.files == ["a.yaml", "b.yaml", "zone", "other"].map { "\(directory.path)/\($0)" })
    }

    @Test("An error is told with the file that has it")
    func errors() throws {
        try directory.write("bindings:\n  - { label: a, ports: 1, prefixes: 10.0.0.0/8 }\n", to: "a.yaml")
        #expect(try read("include: a.yaml").hasPrefix("a.yaml:2:5: a binding has no protocols"))
        try directory.write("pools: { p: 10.0.0.0/8 }\n  x", to: "a.yaml")
        #expect(try read("include: a.yaml").hasPrefix("a.yaml:2:"))
        try directory.write("[x]", to: "a.yaml")
        #expect(try read("include: a.yaml").hasPrefix("a.yaml:1:1: an included file is a list here"))
        try directory.write("# none\n", to: "a.yaml")
        #expect(try read("include: a.yaml").hasPrefix("a.yaml:1:1: the file is empty: write pools"))
        #expect(try read("include: none.yaml").hasPrefix("policy.yaml:1:10: none.yaml cannot be read, No such file"))
        #expect(try read("include: []").hasPrefix("policy.yaml:1:10: include is an empty list"))
        #expect(try read("include: { a: b }").hasPrefix("policy.yaml:1:10: include is a mapping"))
        try directory.write("pools: { p: 10.0.0.0/8 }", to: "a.yaml")
        let twice = try read("include: a.yaml\npools: { p: 10.0.0.0/8 }\nbindings: []\n")
        #expect(
            twice.hasPrefix("policy.yaml:2:10: the key \"p\" is in the same mapping already, at a.yaml:1:10:"),
            "\(twice)")
        try directory.write(Self.bindings("10.0.0.0/8"), to: "a.yaml")
        let conflict = try read("include: a.yaml\n" + Self.bindings("10.0.0.0/8", "b"))
        #expect(conflict.hasPrefix("policy.yaml:3:43: conflict with a.yaml:2:43: bindings "), "\(conflict)")
    }

    @Test("Loops are refused, and so is what has no end")
    func limits() throws {
        #expect(try read("include: policy.yaml").contains("policy.yaml:1:10: policy.yaml includes itself"))
        try directory.write("include: b.yaml", to: "a.yaml")
        try directory.write("include: [c.yaml, a.yaml]", to: "b.yaml")
        try directory.write("pools: {}", to: "c.yaml")
        #expect(
            try read("include: a.yaml")
                == "b.yaml:1:19: a.yaml is included already, at policy.yaml:1:10: leave this out")
        #expect(try read("include: [c.yaml, c.yaml]").contains("policy.yaml:1:19: c.yaml is included already"))
        #expect(
            refusal(of: "include: x\nbindings: []").hasPrefix(
                "f:1:10: only a policy that is read from a file can include others"))
        #expect(try read("include: [\(directory.path), /dev/zero]").contains("it is a directory"))
        var names: [String] = []
        for number in 0...256 {
            names.append("n\(number).yaml")
            try directory.write("labels: {}", to: names.last!)
        }
        let many = try read("include: [\(names.joined(separator: ", "))]\nbindings: []")
        for name in names { remove("\(directory.path)/\(name)") }
        #expect(many.contains("more than 256 files are included"), "\(many)")
    }
}
