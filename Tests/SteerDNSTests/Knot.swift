import DNSTestSupport
import KernelTestSupport

/// Debian's Knot DNS with zone files of a bed; it ends with this value.
struct Knot {
    private let folder: String
    private let port: Int
    private let process: Background

    /// - Parameter zones: The origin of each zone, and its file in the bed.
    init(serving zones: KeyValuePairs<String, String>, of bed: DNSBed) throws {
        folder = bed.folder
        // Below what the kernel chooses for clients.
        port = Int.random(in: 10_001...30_000)
        let configuration = """
            server:
              listen: 127.0.0.1@\(port)
              rundir: \(folder)
              udp-workers: 1
              tcp-workers: 1
            log:
              - target: stderr
                any: info
            database:
              storage: \(folder)/knot
            template:
              - id: default
                storage: \(folder)
                zonefile-sync: -1
                journal-content: none
            zone:
            \(zones.map { "  - domain: \($0.key)\n    file: \($0.value)\n" }.joined())
            """
        try bed.replace("knot.conf", with: configuration)
        let process = try Background("/usr/sbin/knotd -c \(folder)/knot.conf", folder: folder)
        try eventually("Knot serves") {
            let log = try process.error
            if log.contains("error:") || log.contains("critical:") { throw Unmet(description: log) }
            return zones.allSatisfy { log.contains("[\($0.key).] loaded") }
        }
        self.process = process
    }

    /// What it answers, by UDP and by TCP.
    func ask(_ requests: [Request]) throws -> [Responses] {
        defer { withExtendedLifetime(process) {} }
        return try DNSBed.client(requests, address: "127.0.0.1", port: port, folder: folder)
    }
}
