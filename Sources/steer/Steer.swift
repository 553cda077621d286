import ArgumentParser
import Glibc
import Steering

@main
struct Steer: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Steer the traffic of whole prefixes, and any ports, to ordinary sockets.",
        discussion: """
            The steering of a network namespace lives in the kernel, pinned in the BPF file system: no process of \
            ours need run. Bindings say which packets go to which label; sockets are registered as labels.

              steer load                                    # once, after each boot
              steer bind web tcp 192.0.2.0/24 80,443        # bindings lead to labels ...
              steer register web --pid 4711 tcp 127.0.0.1:8080   # ... and sockets answer for them
              steer explain tcp 192.0.2.7 443               # who gets this packet, and why
              steer doctor                                  # what is wrong, and what mends it

            Every change is atomic, and waits for one that is under way. Established connections are never \
            touched. Changing needs CAP_BPF, CAP_NET_ADMIN and access to the BPF file system, so usually root; \
            reading needs no more than `load --readers GROUP` gives.

            Exit codes: 0 done; 1 it failed, or doctor warns; 2 doctor found something broken; 64 wrong usage. \
            Errors are one sentence on standard error, as JSON with --json.
            """,
        subcommands: [
            Load.self, Unload.self, Upgrade.self, Apply.self, Bind.self, Unbind.self, Register.self, Unregister.self,
            Bindings.self, Sockets.self, Status.self, Metrics.self, Explain.self, Diagnose.self,
        ])

    static func main() {
        signal(SIGPIPE, SIG_IGN)
        prepareMemoryForLargePolicies()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as SteeringError {
            Failure.report(error, asJSON: CommandLine.arguments.contains("--json"))
        } catch {
            exit(withError: error)
        }
    }
}

/// How errors leave the command.
enum Failure {
    private struct Report: Encodable {
        struct Content: Encodable {
            let code: String
            let message: String
        }
        let error: Content
    }

    static func report(_ error: SteeringError, asJSON: Bool) -> Never {
        let text =
            asJSON
            ? JSON.text(Report(error: .init(code: error.code.description, message: error.message)))
            : "steer: \(error.message)"
        Terminal.complain(text)
        exit(1)
    }
}

/// Words on the command line that are not what they should be.
func misuse(_ message: String) -> ValidationError { ValidationError(message) }

/// Reads words of the command line as addresses, prefixes, ports.
func parsed<Value>(_ read: () throws(AddressError) -> Value) throws -> Value {
    do throws(AddressError) { return try read() } catch { throw misuse("\(error)") }
}

/// Reads a protocol.
func transport(_ text: String) throws -> TransportProtocol {
    guard let found = TransportProtocol.allCases.first(where: { $0.description == text }) else {
        throw misuse("\(text.debugDescription) is no protocol: give tcp or udp")
    }
    return found
}
