import Foundation
import SteeringDNS

/// A temporary folder with a zone, to which simulations write their changing policies and lists.
///
/// They are read with the code of steer-dns. Deinitialization removes the folder.
final class PolicyFolder: Sendable {
    private let url: URL

    private static let zone = """
        $ORIGIN \(Authority.origin).
        $TTL 1h
        @    SOA ns1 hostmaster ( 1 1d 2h 4w 5m )
             NS  ns1
        ns1  A   192.0.2.53
        """

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "simulate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: url, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        try write(Self.zone + "\n", to: "example.com.zone")
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    /// Writes a file that policies refer to.
    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: url.appending(path: name))
    }

    /// Writes a policy, and reads it with the files it refers to.
    func serving(_ policy: String, site: String? = nil) throws -> ServedData {
        try write(policy, to: "policy.yaml")
        return try NamePolicyFile.read(contentsOf: url.appending(path: "policy.yaml").path, site: site)
    }
}
