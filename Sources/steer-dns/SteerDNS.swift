import ArgumentParser
import CommandSupport
import Documents
import Foundation
import SteeringDNS

@main
struct SteerDNS: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "steer-dns",
        abstract: "An authoritative DNS server that answers by policy, with a random address of a pool for each query.",
        discussion: """
            A policy file decides which names get addresses from which pool. No state is kept per name, so changing \
            one line moves millions of names at once.

              steer-dns check policy.yaml
              steer-dns ask www.example.com A --policy policy.yaml
              steer-dns serve --policy policy.yaml --listen 127.0.0.1:5353
              dig @127.0.0.1 -p 5353 www.example.com
              steer-dns --version
            """,
        subcommands: [Serve.self, Check.self, Ask.self, Zone.self, Drain.self, Undrain.self])

    static func main() {
        do {
            try runAsRoot()
        } catch let error as NamePolicyError {
            fail(error.description)
        } catch let error as ServerSocketError {
            fail(error.message)
        } catch let error as DocumentError {
            fail(error.message)
        } catch let error as OfflineZoneError {
            fail(error.message)
        } catch let error as CommandError {
            fail(error.message)
        } catch {
            end(with: error)
        }
    }

    private static func fail(_ message: String) -> Never {
        // Each line is the error of a place in the files.
        for line in message.split(separator: "\n", omittingEmptySubsequences: false) { printError(String(line)) }
        Foundation.exit(1)
    }
}

/// The failure of a command: one sentence with the problem and the remedy.
struct CommandError: Error {
    let message: String

    init(_ message: String) { self.message = message }
}
