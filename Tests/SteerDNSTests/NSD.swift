import DNSTestSupport
import KernelTestSupport

/// Debian's NSD with zone files of a bed; it ends with this value.
struct NSD {
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
                ip-address: 127.0.0.1@\(port)
                username: ""
                zonesdir: \(folder)
                database: ""
                pidfile: ""
                zonelistfile: \(folder)/nsd.list
                xfrdfile: \(folder)/nsd.xfrd
                xfrdir: \(folder)
                cookie-secret-file: ""
                server-count: 1
                rrl-ratelimit: 0
                minimal-responses: yes
                refuse-any: yes
            remote-control:
                control-enable: no
            \(zones.map { "zone:\n    name: \($0.key)\n    zonefile: \($0.value)\n" }.joined())
            """
        try bed.replace("nsd.conf", with: configuration)
        let process = try Background("/usr/sbin/nsd -d -c \(folder)/nsd.conf", folder: folder)
        try eventually("NSD serves") {
            let error = try process.error
            if error.contains("error:") { throw Unmet(description: error) }
            return error.contains("nsd started")
        }
        self.process = process
    }

    /// What it answers, by UDP and by TCP.
    func ask(_ requests: [Request]) throws -> [Responses] {
        defer { withExtendedLifetime(process) {} }
        return try DNSBed.client(requests, address: "127.0.0.1", port: port, folder: folder)
    }
}
