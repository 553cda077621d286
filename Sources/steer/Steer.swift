import ArgumentParser
import CommandSupport
import Glibc
import Steering

@main
struct Steer: ParsableCommand {
    // Each command has an explicit name: deriving it from the type took a fifth of the startup time.
    static let configuration = CommandConfiguration(
        commandName: "steer",
        abstract: "Steer the traffic of whole prefixes, and any ports, to ordinary sockets.",
        discussion: """
            The steering of a network namespace lives in the kernel, pinned in the BPF file system: no daemon is \
            needed. Bindings define which packets go to which label; sockets are registered for labels.

              steer load                                    # once, after each boot
              steer bind web tcp 192.0.2.0/24 80,443        # bindings lead to labels ...
              steer register web --pid 4711 tcp 127.0.0.1:8080   # ... and sockets answer for them
              steer explain tcp 192.0.2.7 443               # which socket gets this packet, and why
              steer trace                                   # packets as they arrive, and what decides
              steer doctor                                  # problems, and how to fix them

            Every change is atomic, and waits for one that is under way. Established connections are never \
            touched. Changing needs CAP_BPF, CAP_NET_ADMIN and access to the BPF file system, so usually root; \
            reading needs no more than `load --readers GROUP` gives.

            Exit codes: 0 done; 1 it failed, or doctor warns; 2 doctor found something broken; 64 usage error. \
            Errors are one sentence on standard error, as JSON with --json.
            """, version: "steer \(CommandWords.version)",
        subcommands: [
            Load.self, Unload.self, Upgrade.self, Apply.self, Bind.self, Unbind.self, SetLabel.self,
            Register.self, Unregister.self,
            Bindings.self, Sockets.self, Status.self, Metrics.self, Explain.self, Trace.self, Diagnose.self,
            Pool.self,
        ])

    static func main() {
        prepareMemoryForLargePolicies()
        do {
            try runAsRoot()
        } catch let error as StandardOutput.Failure {
            Journal.print(Failure.text(SteeringError(.systemCall, error.message)), .error)
            Glibc.exit(1)
        } catch let error as SteeringError {
            Journal.print(Failure.text(error), .error)
            Glibc.exit(1)
        } catch  where exitCode(for: error) == .validationFailure {
            Journal.print(Failure.text("usage", message(for: error)), .error)
            Glibc.exit(64)
        } catch {
            // Help, completion scripts and the doctor's exit codes.
            end(with: error)
        }
    }
}

/// Formats errors for output.
enum Failure {
    private struct Report: Encodable {
        struct Content: Encodable {
            let code: String
            let message: String
            /// The complete verifier log.
            let log: String?
        }
        let error: Content
    }

    static func text(_ error: SteeringError) -> String {
        isJSON
            ? JSON.text(Report(error: .init(code: "\(error.code)", message: error.message, log: error.verifierLog)))
            : "steer: \(error.messageWithLog)"
    }

    static func text(_ code: String, _ message: String) -> String {
        isJSON ? JSON.text(Report(error: .init(code: code, message: message, log: nil))) : "steer: \(message)"
    }

    /// Checks the raw arguments, since parsing the options may have failed.
    private static var isJSON: Bool { CommandWords.all.contains("--json") }
}

/// Returns a usage error.
func misuse(_ message: String) -> ValidationError { ValidationError(message) }

/// Parses a label.
func label(_ text: String) throws -> Label { try parsed { try Label(text) } }

/// Parses the name of an interface.
func interface(_ text: String) throws -> InterfaceName { try parsed { try InterfaceName(text) } }

/// Parses a protocol.
func transport(_ text: String) throws -> TransportProtocol {
    guard let found = TransportProtocol.allCases.first(where: { $0.description == text }) else {
        throw misuse("\(text.debugDescription) is not a protocol: give tcp or udp")
    }
    return found
}
