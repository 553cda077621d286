import PolicyFiles
import Steering

/// The policy file as steerd reads it.
enum ServiceFile {
    /// Reads it. One that says what is started, with what rights, must be root's, or that of the user that steerd runs as.
    ///
    /// - Throws: As ``PolicyFile/readForService(contentsOf:)``; `invalidPolicyFile` when others could change it.
    static func read(_ path: String) throws(SteeringError) -> ServicePolicy {
        let service = try PolicyFile.readForService(contentsOf: path)
        if service.services.values.contains(where: { $0.start != nil }) { try TrustedPath.check(path) }
        return service
    }
}
