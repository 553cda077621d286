import PolicyFiles
import Steering

/// Reads the policy file for steerd.
enum ServiceFile {
    /// Reads a policy file. One with start commands, and the files that it includes, must be safe from changes by users
    /// other than root and the one that steerd runs as.
    ///
    /// - Throws: As ``PolicyFile/readForService(contentsOf:)``; `invalidPolicyFile` if others could change it.
    static func read(_ path: String) throws(SteeringError) -> ServicePolicy {
        let service = try PolicyFile.readForService(contentsOf: path)
        if service.services.values.contains(where: { $0.start != nil }) {
            for path in [path] + service.included { try TrustedPath.check(path) }
        }
        return service
    }
}
