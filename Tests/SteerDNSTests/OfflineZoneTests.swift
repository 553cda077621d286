import DNSTestSupport
import Foundation
import KernelTestSupport
import Testing

/// What `steer-dns zone` writes, other servers take, and then answer as steer-dns does.
@Suite struct OfflineZoneTests {
    private static let zone = """
        $ORIGIN example.com.
        $TTL 3600
        @ 7200 SOA ns1 host 1 2h 1h 2w 300
        @ NS ns1
        @ MX 10 mail
        ns1 A 192.0.2.53
        mail A 192.0.2.25
        txt TXT "said by the zone"
        alias CNAME a
        sub NS ns.sub
        ns.sub A 198.51.100.53
        * TXT "everything"
        *.wild A 192.0.2.99
        there.wild A 192.0.2.98
        below.ent TXT "deep"

        """

    private static let list = """
        a.example.com account=free
        b.example.com account=paid   # a comment
        A.Example.com account=free
        c.d.e.example.com account=free
        d.e.example.com account=paid
        f.g.h.example.com account=paid
        gone.example.com account=gone
        alias.example.com account=free
        txt.example.com account=free
        x.sub.example.com account=free
        www.example.org account=free
        under_score.example.com account=paid

        """

    /// - Parameter pools: the addresses of web, free and four.
    private static func policy(_ pools: (String, String, String), select: String = "random") -> String {
        """
        pools: { web: [\(pools.0)], free: [\(pools.1)], four: [\(pools.2)] }
        names:
          zones: [zone]
          lists: { all: names }
          policies:
            - { name: gone, list: all, attribute: account=gone, outcome: pass }
            - { name: free, list: all, attribute: account=free, pool: free, ttl: 30, select: \(select) }
            - { name: exact, exact: [four.example.com, p.q.example.com], pool: four, ttl: 10, select: \(select) }
            - { name: wild, suffix: wild.example.com, outcome: pass }
            - { name: tops, suffix: [top.example.com, u.v.example.com], pool: four, select: \(select) }
            - { name: default, pool: web, ttl: 60, select: \(select) }

        """
    }

    private static let single = policy(
        ("203.0.113.7/32, \"2001:db8:1::7/128\"", "203.0.113.5/32", "203.0.113.4/32"))
    private static let several = policy(
        ("198.51.100.0/25, \"2001:db8:1::/48\"", "203.0.113.0/26", "203.0.113.128/26"), select: "name")

    /// Names that are said, those above them, those below, and others.
    private static let names: [String] = {
        let said = [
            "a", "b", "c.d.e", "d.e", "e", "f.g.h", "g.h", "h", "alias", "txt", "under_score", "four", "p.q", "q",
            "wild", "there.wild", "top", "u.v", "v", "ns1", "mail", "sub", "x.sub", "ent", "below.ent", "nobody",
        ]
        let below = said.flatMap { ["unknown.\($0)", "two.labels.\($0)"] }
        return ["example.com"] + (said + below).map { "\($0).example.com" }
    }()

    private func bed(_ policy: String) throws -> DNSBed { try DNSBed(policy, ["zone": Self.zone, "names": Self.list]) }

    private func write(_ bed: DNSBed, seed: Int = 7, to output: String? = nil) throws -> String {
        let printed = try DNSBed.run(
            "zone --policy \(bed.folder)/policy.yaml --origin example.com --seed \(seed) --output \(output ?? bed.folder) 2>&1"
        )
        try verify(printed.contains("example.com.zone: "), printed)
        return try String(contentsOfFile: "\(output ?? bed.folder)/example.com.zone", encoding: .utf8)
    }

    @Test("named-checkzone takes the file; the same seed makes the same one, whatever other names there are")
    func deterministic() throws {
        let bed = try bed(Self.policy(("198.51.100.0/24, \"2001:db8:1::/48\"", "203.0.113.0/25", "203.0.113.128/25")))
        let first = try write(bed)
        let check = try shell("named-checkzone -k ignore example.com \(bed.folder)/example.com.zone 2>&1 || true")
        #expect(check.contains("\nOK\n"), "\(check)")
        #expect(try write(bed) == first)
        #expect(try write(bed, seed: 8) != first)
        try bed.replace("names", with: "new.example.com account=paid\n" + Self.list)
        let more = try write(bed)
        #expect(Set(first.split(separator: "\n")).subtracting(more.split(separator: "\n")) == [])
        #expect(more.contains("\nnew 60 A 198.51.100."))
        #expect(try shell("ls -A \(bed.folder)").contains(".zone.") == false)
    }

    @Test("NSD answers from the file as steer-dns does, where there is one address to give")
    func sameAnswers() throws {
        let bed = try bed(Self.single)
        let requests = Self.names.flatMap { name in ["A", "AAAA", "MX"].map { Request(name, $0) } }
        let (ours, theirs) = try ask(bed, requests)
        #expect(ours.count == theirs.count && ours.count > 200)
        for (request, (one, other)) in zip(requests, zip(ours, theirs)) {
            #expect(Self.text(one) == Self.text(other), "\(request.name!) \(request.type!)")
        }
        // It exists with a text, so that no wildcard gives it an address; steer-dns leaves it to the zone's wildcard.
        let (served, written) = try ask(bed, [Request("gone.example.com"), Request("unknown.gone.example.com")])
        #expect(served.allSatisfy(\.addresses.isEmpty) && written.allSatisfy(\.addresses.isEmpty))
    }

    @Test("each address that NSD gives is of the policy's pool, and the one of the name where the name decides")
    func pools() throws {
        let bed = try bed(Self.several)
        let listed = (0..<300).map { "n\($0).example.com account=\($0 % 2 == 0 ? "free" : "paid")" }
        try bed.replace("names", with: Self.list + listed.joined(separator: "\n"))
        try bed.server.signal("HUP")
        try eventually("the list is read again") {
            try bed.ask([Request("n0.example.com")])[0].addresses.first?.hasPrefix("203.0.113.") == true
        }
        let names = (0..<300).map { "n\($0).example.com" } + ["four", "p.q", "c.d.e", "e"].map { "\($0).example.com" }
        let requests = names.flatMap { [Request($0, "A"), Request($0, "AAAA")] }
        let (ours, theirs) = try ask(bed, requests)
        for (request, (one, other)) in zip(requests, zip(ours, theirs)) {
            #expect(Self.text(one) == Self.text(other), "\(request.name!) \(request.type!)")
        }
        let drawn = Set(theirs.flatMap(\.addresses).filter { $0.hasPrefix("203.0.113.") })
        #expect(drawn.count > 40 && drawn.allSatisfy { Int($0.split(separator: ".")[3])! < 192 })
    }

    @Test("what a file cannot say is an error: no such zone, clients, a list from standard input, a full disk")
    func refused() throws {
        let bed = try bed(Self.single)
        let command = "zone --policy \(bed.folder)/policy.yaml"
        let none = try DNSBed.run("\(command) --origin example.org 2>&1")
        #expect(none.contains("no zone example.org.: its zones are example.com."), "\(none)")
        let full = try shell(
            "\(try Programs.path(of: "steer-dns")) \(command) --origin example.com 2>&1 >/dev/full || true")
        #expect(full.contains("No space left on device: make room"), "\(full)")
        try shell("ln -s zone \(bed.folder)/example.com.zone")
        let own = try DNSBed.run("\(command) --origin example.com --output \(bed.folder) 2>&1")
        #expect(own.contains("is a file that the policy refers to"), "\(own)")
        let clients = Self.single.replacing("name: free,", with: "name: free, clients: 10.0.0.0/8,")
        try bed.replace("policy.yaml", with: clients)
        let asking = try DNSBed.run("\(command) --origin example.com 2>&1")
        #expect(asking.contains("free depends on the client"), "\(asking)")
        let given = try DNSBed.run("\(command) --origin example.com --from 10.1.2.3 2>&1")
        #expect(given.contains("\na 30 A 203.0.113.5\n"), "\(given)")
        try bed.replace("policy.yaml", with: Self.single.replacing("all: names", with: "all: \"-\""))
        let twice = try DNSBed.run("\(command) --origin example.com 2>&1 <\(bed.folder)/names")
        #expect(twice.contains("is read twice: write it to a file"), "\(twice)")
    }

    @Test("a disk that gets full leaves the old file as it was, and nothing beside it", .kernel)
    func full() throws {
        let bed = try bed(Self.single)
        let many = (0..<100_000).map { "name-\($0).example.com\n" }.joined()
        try bed.replace("names", with: Self.list + many)
        let said = try shell(
            """
            unshare --mount bash -c 'mkdir \(bed.folder)/small && mount -t tmpfs -o size=1m tmpfs \(bed.folder)/small
            echo old >\(bed.folder)/small/example.com.zone
            \(try Programs.path(of: "steer-dns")) zone --policy \(bed.folder)/policy.yaml --origin example.com \
            --output \(bed.folder)/small 2>&1; ls -A \(bed.folder)/small; cat \(bed.folder)/small/example.com.zone'
            """)
        #expect(said.contains("No space left on device"), "\(said)")
        #expect(said.hasSuffix("\nexample.com.zone\nold\n"), "\(said)")
    }

    // MARK: NSD

    /// Asks steer-dns, and NSD with the file that steer-dns writes.
    private func ask(_ bed: DNSBed, _ requests: [Request]) throws -> (ours: [Response], theirs: [Response]) {
        _ = try write(bed)
        let theirs = try Peer.nsd(serving: ["example.com": "example.com.zone"], of: bed).ask(requests)
        return (try bed.askBoth(requests).map(\.tcp), theirs.map(\.tcp))
    }

    /// The code and the answer.
    private static func text(_ reply: Response) -> String { ([reply.head] + reply.answer).joined(separator: "\n") }
}
