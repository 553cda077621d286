import DNSTestSupport
import Foundation
import SteeringDNS
import Testing

/// The file that `OfflineZone` writes answers as the server does, for random policies.
@Suite struct OfflineAgreementTests {
    private static let types: [(name: String, type: RecordType)] = [
        ("A", .A), ("AAAA", .AAAA), ("TXT", .TXT), ("MX", .MX),
    ]

    /// `STEERING_RANDOM_POLICIES` sets the number; a check has a share of the 20,000 that were compared once.
    private static let count = ProcessInfo.processInfo.environment["STEERING_RANDOM_POLICIES"].flatMap(Int.init) ?? 250

    @Test("random policies: each name and type is answered alike by the server and from the file")
    func random() throws {
        var policies = RandomPolicies(seed: 1)
        var accepted = 0, compared = 0, addresses = 0, blocked = 0
        while accepted < Self.count {
            let files = policies.files()
            let folder = ZoneFolder()
            for (name, text) in [
                ("policy.yaml", files.policy), ("zone", files.zone), ("inner", files.inner), ("first", files.lists[0]),
                ("second", files.lists[1]),
                ("drained", "203.0.113.9/32\n2001:db8::9/128\n203.0.113.10/32\n"),
            ] {
                try text.write(toFile: "\(folder.path)/\(name)", atomically: false, encoding: .utf8)
            }
            // Some contradict themselves, and are refused.
            guard let served = try? NamePolicyFile.read(contentsOf: "\(folder.path)/policy.yaml") else { continue }
            accepted += 1
            let path = "\(folder.path)/written"
            let summary = try OfflineZone(served, origin: DNSName("example.com"), seed: 7, client: .init("127.0.0.1"))
                .write(to: path)
            let written = try ZoneFile(Array(try Data(contentsOf: URL(filePath: path))), named: "written")
            let resolver = ZoneResolver(written.records, origin: "example.com.")
            let server = InProcessServer(served)
            for name in Self.askedNames(files.names) {
                for (typeName, type) in Self.types {
                    let query = Request(name, typeName).message
                    let reply = try Response(try #require(try server.answer(query, over: .tcp)), to: query)
                    let answer = resolver.answer("\(name).", type)
                    compared += 1
                    addresses += reply.addresses.count
                    guard !Self.areAlike(reply, answer, resolver, &blocked) else { continue }
                    Issue.record(
                        """
                        policy \(accepted): \(name) \(typeName): the server \(reply.text), the file \(answer)
                        \(files)\n\(try String(contentsOfFile: path, encoding: .utf8))\(summary.notes)
                        """)
                    return
                }
            }
        }
        #expect(compared > 100 * Self.count && addresses > 10 * Self.count, "\(compared) \(addresses)")
        #expect(blocked < compared / 10, "\(blocked) of \(compared)")
    }

    /// The names themselves, those below them, and others.
    private static func askedNames(_ names: Set<String>) -> [String] {
        let above = names.flatMap { name in
            name.indices.filter { name[$0] == "." }.map { String(name[$0...].dropFirst()) }
        }
        let near = names.union(above)
        let all = near.union(near.map { "z.\($0)" }).union(["z", "y.z", "b.z.a"])
        return ["example.com"] + all.sorted().map { "\($0).example.com" }
    }

    /// Whether the records are the same, and the codes, but for what the notes at the end of a file say.
    private static func areAlike(
        _ reply: Response, _ answer: ZoneResolver.Answer, _ resolver: ZoneResolver, _ blocked: inout Int
    ) -> Bool {
        // Of the inner zone, or delegated: nothing of the policies.
        if answer.isReferral { return true }
        let isBlocked = resolver.answer(answer.source, .TXT).records.contains { $0.hasSuffix("TXT \"no address\"") }
        let records = answer.records.filter { !$0.hasSuffix("TXT \"no address\"") }
        guard kinds(of: reply.answer) == kinds(of: records) else {
            // Beside an address of one family a file cannot have the alias that the server gives for the other.
            return reply.answer.contains { $0.contains(" CNAME ") }
                && [.A, .AAAA].contains { !resolver.answer(answer.source, $0).records.isEmpty }
        }
        if isBlocked { blocked += 1 }
        if reply.code == answer.code { return true }
        return reply.code == "REFUSED" || isBlocked && reply.code == "NXDOMAIN"
    }

    /// The records, with a pool in place of an address that is drawn by chance.
    private static func kinds(of records: [String]) -> [String] {
        records.map { record in
            var words = record.split(separator: " ").map(String.init)
            for pool in ["198.51.100.", "203.0.113.1", "2001:db8:1:", "2001:db8:2:"] where words.last!.hasPrefix(pool) {
                // A pool of which several are drawn has its addresses once each.
                if words.last! != "203.0.113.1", words.last! != "203.0.113.10" { words[words.count - 1] = pool }
            }
            return words.joined(separator: " ")
        }.sorted()
    }
}
