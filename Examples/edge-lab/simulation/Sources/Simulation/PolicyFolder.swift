import Foundation
import SteeringDNS

/// A folder with a zone, in which simulations write the policies and lists that they change as they go: files, which are read
/// as steer-dns reads its own. It is removed with its value.
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

    /// Writes a file that policies name.
    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: url.appending(path: name))
    }

    /// Writes a policy, and reads it with all that it names.
    func serving(_ policy: String, site: String? = nil) throws -> Serving {
        try write(policy, to: "policy.yaml")
        return try NamePolicyFile.read(contentsOf: url.appending(path: "policy.yaml").path, site: site)
    }
}
