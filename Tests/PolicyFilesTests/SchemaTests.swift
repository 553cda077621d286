import Foundation
import PolicyFiles
import Steering
import SteeringDNS
import Testing

/// docs/schema/policy.schema.json says what the decoders say.
@Suite struct SchemaTests {
    private let schema: JSONSchema
    private let directory: TemporaryDirectory

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        schema = try JSONSchema(contentsOf: root.appending(path: "docs/schema/policy.schema.json"))
        directory = try TemporaryDirectory()
        try directory.write("172.31.0.0/16\n", to: "blocked.txt")
        try directory.write(#"{"pools": {"more": "10.9.0.0/16"}, "names": {"zones": ["zone"]}}"#, to: "more.json")
    }

    /// The error of the decoder of bindings, or of that of names; nil if both take the document.
    ///
    /// Both see all of it: bindings are optional for the one, names for the other.
    private func refusal(of document: JSONValue) throws -> String? {
        var whole = document
        if case .object(var members) = document, members["bindings"] == nil, members["names"] != nil {
            members["bindings"] = .list([])
            whole = .object(members)
        }
        do throws(SteeringError) {
            _ = try PolicyFile.parse(whole.json, name: "f", format: .json, directory: directory.path)
        } catch { return error.message }
        return NamePolicyOutline.refusal(of: try directory.write(document.json, to: "policy.json"))
    }

    @Test("What is right in every key is right for both")
    func corpus() throws {
        for document in try PolicyDocuments.all() {
            #expect(try refusal(of: document) == nil, "\(document.json)")
            #expect(try schema.accepts(document), "\(document.json)")
        }
    }

    /// What a schema does not know: the values of addresses, ports and names, other parts of the document, and files.
    private static let beyond = [
        "there is no pool", "there is no list", "conflict with", "is not a prefix", "is an address, not a prefix",
        "has the prefix length", "has bits set", "as dual-stack sockets write it", "cannot be read",
        "has no prefixes: add",
        "the family of", "of another family", "has the port", "is not a port", "is not a TTL", "is not a domain name",
        "is not a set of ports", "is included already", "in the same mapping already", "is not a port range",
        "ends below its start",
    ]

    @Test("Of random documents each takes what the other takes", arguments: 1...6)
    func random(seed: UInt64) throws {
        var mutator = DocumentMutator(seed: seed, try PolicyDocuments.all())
        var taken = 0, refused = 0
        for _ in 0..<1_000 {
            let document = mutator.next()
            let isValid = try schema.accepts(document), problem = try refusal(of: document)
            switch (isValid, problem) {
            case (true, nil): taken += 1
            case (false, _?): refused += 1
            case (false, nil): Issue.record("the schema refuses, and the decoders take \(document.json)")
            case (true, let problem?):
                // The included file can have what is missing.
                let isPart = document["include"] != nil && problem.contains(#/ has no (zones|policies|bindings): /#)
                if !isPart, !Self.beyond.contains(where: problem.contains) {
                    Issue.record("the schema takes \(document.json), and the decoders say \(problem)")
                }
            }
        }
        #expect(taken > 50 && refused > 300, "\(taken) \(refused)")
    }

    /// Calls a closure with the error about each document with one change.
    private func forEachError(
        _ change: (JSONValue) -> JSONValue?, _ body: (String) -> Void
    ) throws {
        for document in try PolicyDocuments.all() {
            for path in PolicyDocuments.paths(in: document) {
                guard let changed = document.changing(path[...], { change($0) ?? $0 }), changed != document,
                    let problem = try refusal(of: changed)
                else { continue }
                body(problem)
            }
        }
    }

    @Test("Each mapping has the same keys in both: a key that a decoder learns is to be written into the schema")
    func keys() throws {
        var known: Set<[String]> = []
        try forEachError({ value in
            guard case .object(var members) = value else { return nil }
            members["~~~~"] = .text("x")
            return .object(members)
        }) { problem in
            guard let range = problem.range(of: "its keys are ") else { return }
            known.insert(problem[range.upperBound...].components(separatedBy: ", ").sorted())
        }
        let written = schema.all.filter { $0["additionalProperties"] == .truth(false) }
            .compactMap { $0["properties"]?.members.keys.sorted() }
        #expect(Set(written) == known)
        #expect(known.count >= 8)
    }

    @Test("Words to choose from are the same in both")
    func words() throws {
        var known: Set<[String]> = []
        try forEachError({ value in
            if case .text = value { .text("zzzz") } else { nil }
        }) { problem in
            guard let range = problem.firstRange(of: #/is not one of the values of .*: write /#) else { return }
            known.insert(
                problem[range.upperBound...].replacing(" or ", with: ", ").components(separatedBy: ", ").sorted())
        }
        let written = schema.all.compactMap { $0["enum"]?.elements.compactMap(\.string).sorted() }
        #expect(Set(written).subtracting([[".", ".."]]) == known)
        #expect(known.count >= 7)
    }
}

extension NamePolicyOutline {
    /// The error about a file; nil if there is none.
    fileprivate static func refusal(of path: String) -> String? {
        do { _ = try NamePolicyOutline(contentsOf: path) } catch { return "\(error)" }
        return nil
    }
}
