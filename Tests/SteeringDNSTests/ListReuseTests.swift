import Foundation
import Testing

@testable import SteeringDNS

/// Lists are read again where they are other ones, and only there.
@Suite struct ListReuseTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "lists-\(UUID())").path

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try write("@ 60 SOA ns hostmaster 1 1d 2h 4w 60\n@ 60 NS ns\nns 60 A 192.0.2.53\n", to: "zone")
    }

    private func write(_ text: String, to name: String) throws {
        try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
    }

    private func read(pool: String = "192.0.2.0/24", lists: String, reusing previous: ServedData? = nil) throws
        -> ServedData
    {
        try write(
            """
            pools: { web: \(pool) }
            names:
              zones: [{ origin: example.com, file: zone }]
              lists: { \(lists) }
              policies: [{ name: paid, list: a, attribute: account=paid, pool: web }, { name: default, outcome: pass }]
            """, to: "policy.yaml")
        return try NamePolicyFile.read(contentsOf: "\(folder)/policy.yaml", reusing: previous)
    }

    @Test("a change of the policy keeps the names of lists that are the same files; all else reads them")
    func reuse() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try write("x.example.com account=paid\n", to: "a.txt")
        try write("y.example.com\nz.example.com\n", to: "b.txt")
        let fresh = try read(lists: "a: a.txt, b: b.txt")
        #expect(try read(lists: "a: a.txt, b: b.txt", reusing: fresh).policies.names !== fresh.policies.names)

        // Files of this very moment are not trusted: one more change might leave no trace.
        Thread.sleep(forTimeInterval: 2.1)
        let first = try read(lists: "a: a.txt, b: b.txt")
        let moved = try read(pool: "198.51.100.0/24", lists: "a: a.txt, b: b.txt", reusing: first)
        #expect(moved.policies.names === first.policies.names)
        #expect(moved.policies.pools[0].addresses.description == "198.51.100.0/24")
        #expect(moved.policies.classes.listed == first.policies.classes.listed)
        let again = try read(lists: "a: a.txt, b: b.txt", reusing: moved)
        #expect(again.policies.names === first.policies.names)

        #expect(try read(lists: "b: b.txt, a: a.txt", reusing: again).policies.names !== first.policies.names)
        #expect(try read(lists: "a: a.txt", reusing: again).policies.nameCount == 1)
        try write("y.example.com\nz.example.com\nv.example.com\n", to: "b.txt")
        #expect(try read(lists: "a: a.txt, b: b.txt", reusing: again).policies.nameCount == 4)
    }
}
