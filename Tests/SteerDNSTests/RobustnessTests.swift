import DNSTestSupport
import Foundation
import KernelTestSupport
import Testing

/// What clients and operators do to a server.
@Suite struct RobustnessTests {
    private struct Siege: Decodable { let held, closed, udp, tcp: Int }

    @Test("10,000 silent and slow TCP clients keep nobody else from being answered, by UDP or by TCP")
    func siege() throws {
        let bed = try DNSBed()
        let siege: [Siege] = try bed.client([
            Request(raw: "").with { ($0.do, $0.answers, $0.from) = ("siege", 10_000, "127.0.0.9") }
        ])
        #expect(siege[0].held == 10_000 && siege[0].udp == 50 && siege[0].tcp == 50, "\(siege)")
        #expect(siege[0].closed > 0)
    }

    @Test("with few descriptors there are few connections, and answers all the same")
    func descriptors() throws {
        let bed = try DNSBed(under: "prlimit --nofile=100:100")
        let siege: [Siege] = try bed.client([
            Request(raw: "").with { ($0.do, $0.answers, $0.from) = ("siege", 300, "127.0.0.9") }
        ])
        #expect(siege[0].held == 300 && siege[0].udp == 50 && siege[0].tcp == 50, "\(siege)")
        #expect(try bed.server.error.contains("connections"))
    }

    @Test("what is an answer itself, or too short for a header, is never answered")
    func silence() throws {
        let bed = try DNSBed()
        let question = hexadecimal(Request("www.example.com").message)
        let answers = [0x8000, 0x8180, 0x8583, 0xFFFF, 0xA000].map { flags in
            Request("www.example.com").with { $0.flags = flags }
        }
        let short = [0, 1, 2, 3, 11].map { Request(raw: String(question.prefix(2 * $0))) }
        let silences = try bed.silence(answers + short)
        #expect(silences.count == 10 && silences.allSatisfy { $0.answers == 0 && $0.closed })
    }

    private struct Noise: Decodable { let sent: Int }

    @Test("random bytes, cut and damaged queries, loops and 64 KiB of nothing harm nobody")
    func noise() throws {
        let bed = try DNSBed(limits: true)
        let noise: [Noise] = try bed.client([Request(raw: "").with { $0.do = "noise" }])
        #expect(noise[0].sent > 1_300)
        #expect(try bed.ask(Request("www.example.com")).addresses == [Example.web])
        let errors = try bed.server.error.split(separator: "\n").filter { $0.contains("error") }
        #expect(errors.isEmpty)
    }

    private struct Steady: Decodable {
        let lost: Int
        let answers: [String: Int]
    }

    /// Somebody who asks on and on.
    private func asking(_ bed: DNSBed) throws -> (client: Background, end: () throws -> Steady) {
        let requests = "\(bed.folder)/steady", until = "\(bed.folder)/until"
        let request = Request(raw: "").with { ($0.do, $0.until) = ("steady", until) }
        try JSONEncoder().encode([request]).write(to: URL(fileURLWithPath: requests))
        let client = try Background(
            "timeout $((5 * PATIENCE)) /usr/bin/python3 \(DNSBed.file("client.py")) \(bed.address) \(bed.port) \(requests)",
            folder: bed.folder)
        return (
            client,
            {
                try bed.replace("until", with: "")
                _ = try client.exitCode()
                return try JSONDecoder().decode(Steady.self, from: Data(try client.output.utf8))
            }
        )
    }

    private func policy(_ number: Int) -> String {
        """
        pools: { web: 192.0.2.\(number)/32 }
        names: { zones: [zone], policies: [{ name: default, pool: web }] }

        """
    }

    private func answers(_ bed: DNSBed, _ number: Int) throws {
        try eventually("192.0.2.\(number) is answered") {
            // Meanwhile UDP and TCP may differ.
            try bed.askBoth([Request("x.example.com")])[0].udp.addresses == ["192.0.2.\(number)"]
        }
    }

    @Test("a policy is replaced under load, by a signal and by its file: no query is lost, none gets anything else")
    func reload() throws {
        let bed = try DNSBed(policy(1))
        let asking = try asking(bed)
        for number in 2...6 {
            // In place the file could be read half; the server would say so and go on.
            try bed.replace("policy.yaml", with: policy(number))
            try answers(bed, number)
        }
        // What the policy refers to is read again on a signal.
        try bed.replace("zone", with: Example.zone + "new TXT \"here\"\n")
        try bed.server.signal("HUP")
        try eventually("the zone is read again") {
            try bed.askBoth([Request("new.example.com", "TXT")])[0].udp.answer.count == 1
        }
        try bed.replace("policy.yaml", with: policy(7).replacing("pool: web", with: "pool: wbe"))
        try eventually("the wrong policy is refused") {
            try bed.server.error.contains("policy.yaml:2:") && bed.server.error.contains("the old one stays in force")
        }
        try bed.replace("zone", with: "nothing\n")
        try bed.server.signal("HUP")
        try answers(bed, 6)
        let result = try asking.end()
        #expect(result.lost == 0)
        #expect(Set(result.answers.keys) == Set((1...6).map { "0 192.0.2.\($0)" }), "\(result)")
    }

    @Test("a list that is a FIFO is refused, and the next reload reads another")
    func fifo() throws {
        let policy = policy(1).replacing("zones:", with: "lists: { a: list }, zones:")
        let bed = try DNSBed(policy, ["zone": Example.zone, "list": "a.example.com\n"])
        try shell("rm \(bed.folder)/list; mkfifo \(bed.folder)/list")
        try bed.server.signal("HUP")
        try eventually("it is refused") {
            try bed.server.error.contains("list cannot be read, it is not a regular file")
        }
        try shell("rm \(bed.folder)/list; echo b.example.com >\(bed.folder)/list")
        try bed.replace("policy.yaml", with: policy.replacing("192.0.2.1", with: "192.0.2.2"))
        try bed.server.signal("HUP")
        try answers(bed, 2)
    }

    @Test("with too few descriptors it ends by a sentence", arguments: [8, 16, 24])
    func tooFewDescriptors(limit: Int) throws {
        let folder = try DNSBed.folder(policy(1), ["zone": Example.zone])
        defer { _ = try? shell("rm -r \(folder)") }
        let text = try shell(
            "timeout $PATIENCE prlimit --nofile=\(limit):\(limit) \(try Programs.path(of: "steer-dns")) serve "
                + "--policy \(folder)/policy.yaml --listen 127.0.0.1:0 --workers 1 --metrics 127.0.0.1:0 2>&1 || true")
        #expect(text.contains("steer-dns: this process may open \(limit) files, and needs 26 or more"), "\(text)")
    }

    private struct Queued: Decodable { let answered: Int }

    @Test("SIGTERM ends a server when what has come in is answered")
    func termination() throws {
        let bed = try DNSBed()
        try bed.server.signal("STOP")
        let queued: [Queued] = try bed.client([
            Request("www.example.com").with { ($0.do, $0.answers, $0.id) = ("queued", 200, Int(bed.server.pid)) }
        ])
        #expect(queued[0].answered == 200)
        #expect(try bed.server.exitCode() == 0)
    }

    @Test("SIGTERM ends a server that is asked on and on", arguments: ["TERM", "INT"])
    func terminationUnderLoad(signal: String) throws {
        let bed = try DNSBed()
        let asking = try asking(bed)
        try eventually("queries come in") { try bed.ask(Request("www.example.com")).addresses == [Example.web] }
        try bed.server.signal(signal)
        #expect(try bed.server.exitCode() == 0)
        let result = try asking.end()
        #expect(result.answers.keys.allSatisfy { $0 == "0 \(Example.web)" })
    }

    @Test("100,000 queries over a /24 have addresses that are even")
    func uniformity() throws {
        let bed = try DNSBed(
            "pools: { web: 192.0.2.0/24 }\nnames: { zones: [zone], policies: [{ name: default, pool: web }] }\n")
        let counts: [[String: Int]] = try bed.client([
            Request("www.example.com").with { ($0.do, $0.answers) = ("draws", 100_000) }
        ])
        let expected = 100_000.0 / 256
        let sum = (0..<256).reduce(0.0) { sum, number in
            let difference = Double(counts[0]["192.0.2.\(number)"] ?? 0) - expected
            return sum + difference * difference / expected
        }
        #expect(counts[0].count <= 256 && counts[0].values.reduce(0, +) == 100_000)
        // 255 degrees of freedom: mean 255, deviation 22.6; a right server is outside less than once in 10^6 runs.
        #expect((130...390).contains(sum), "chi-square \(sum)")
    }
}
