import Foundation
import Testing

/// The command, run as a process.
@Suite struct CommandTests {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "simulate-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try write(
            "$ORIGIN example.com.\n$TTL 1h\n@ SOA ns1 hostmaster 1 1d 2h 4w 5m\n@ NS ns1\nns1 A 192.0.2.53\n",
            to: "example.com.zone")
    }

    private func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: folder.appending(path: name))
    }

    private func policy(_ pool: String, _ select: String) -> String {
        """
        pools:
          web: [\(pool)]
        names:
          zones: [example.com.zone]
          policies:
            - { name: default, pool: web, select: \(select), ttl: 60 }
        """
    }

    /// Runs the command and decodes its output, one line of JSON unless it fails.
    private func simulate(_ arguments: String) throws -> (json: [String: Any]?, error: String, status: Int32) {
        let process = Process(), output = Pipe(), error = Pipe()
        process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appending(path: "simulate")
        process.arguments = arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = folder
        (process.standardOutput, process.standardError) = (output, error)
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complaint = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let lines = text.split(separator: "\n")
        let json = lines.count == 1 ? try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) : nil
        return (json as? [String: Any], complaint, process.terminationStatus)
    }

    @Test(
        "load writes a line of JSON and the count of each address",
        arguments: [("198.18.0.0/20", "random", 4_096), ("198.18.0.0/24, 198.51.100.7/32", "name", 257)])
    func load(pool: String, select: String, addresses: Int) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try write(policy(pool, select), to: "policy.yaml")
        let (json, error, status) = try simulate(
            "load --policy policy.yaml --names 1000 --requests 20000 --rate 1000 --resolvers 50 --skew 0.9 --seed 4 "
                + "--histogram counts.txt --threads 2")
        #expect((error, status) == ("", 0))
        let report = try #require(json)
        #expect(report["requests"] as? Int == 20_000 && report["addresses"] as? Int == addresses)
        #expect(report["names"] as? Int == 1_000 && report["ttl"] as? Int == 60)
        #expect(report["secondsSimulated"] as? Double == 20)
        for key in ["queries", "cacheHitShare", "evictions", "cacheBytes"] { #expect(report[key] is NSNumber) }
        let lines = try String(contentsOf: folder.appending(path: "counts.txt"), encoding: .utf8).split(separator: "\n")
        #expect(lines.count == addresses && lines[0].hasPrefix("198.18.0.0 "))
        #expect(lines.reduce(0) { $0 + Int($1.split(separator: " ")[1])! } == 20_000)
    }

    @Test("catchment writes a line of JSON, with a part for each leak")
    func catchment() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let (json, error, status) = try simulate(
            "catchment --requests-per-second 200 --ttl 10 --baseline 0.02 --leak 0.3 --leak 1 --seconds 100 --seed 2 "
                + "--trials 3 --names 100 --resolvers 50 --learn 100")
        #expect((error, status) == ("", 0))
        let leaks = try #require(json?["leaks"] as? [[String: Any]])
        #expect(leaks.compactMap { $0["leak"] as? Double } == [0.3, 1])
        #expect(leaks.allSatisfy { $0["drainedWithinTTL"] as? Bool == true })
        #expect(json?["falseAlarms"] as? Int == 0)
    }

    @Test("search writes a line of JSON, with each search")
    func search() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let (json, error, status) = try simulate(
            "search --names 5000 --slices 16 --ttl 5 --attack 0.3 --seed 2 --trials 2 --requests-per-second 500")
        #expect((error, status) == ("", 0))
        #expect(json?["namesFound"] as? Int == 2 && json?["addressesFound"] as? Int == 2)
        #expect((json?["onNames"] as? [[String: Any]])?.count == 2)
    }

    @Test(
        "what cannot be simulated is said in a sentence, without a line of JSON",
        arguments: [
            ("load --policy missing.yaml --names 1 --requests 1 --rate 1 --histogram h", "missing.yaml"),
            ("load --policy policy.yaml --names 0 --requests 1 --rate 1 --histogram h", "names"),
            ("load --policy policy.yaml --names 1 --requests 1 --rate 0 --histogram h", "rate"),
            ("catchment --requests-per-second 0 --ttl 1 --baseline 0 --leak 1 --seconds 1", "correct"),
            ("search --names 10 --slices 1 --ttl 1 --attack 0.1", "slices"),
        ])
    func refusals(arguments: String, word: String) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try write(policy("198.18.0.0/24", "random"), to: "policy.yaml")
        let (json, error, status) = try simulate(arguments)
        #expect(json == nil && status != 0)
        #expect(error.contains(word) && error.hasPrefix("Error: "))
    }
}
