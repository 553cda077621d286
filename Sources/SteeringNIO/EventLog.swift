#if Logging
import Logging
#endif
import NIOCore
import Steering

/// Logs the events of services to the caller's logger, if any.
///
/// Does nothing without the trait `Logging`.
struct EventLog: Sendable {
    #if Logging
    var logger: Logger?

    func registered(_ channel: any Channel, as label: Label) {
        logger?.info("socket registered", metadata: metadata(channel, label))
    }

    func withoutSocket(_ destinations: [Destination], of label: Label) {
        let names = destinations.map(\.description).joined(separator: ", ")
        logger?.warning(
            "bindings without a socket: add a listener, or their packets are refused or passed, depending on the label",
            metadata: ["label": "\(label)", "destinations": "\(names)"])
    }

    func withdrawn(_ channel: any Channel, from label: Label) {
        logger?.info("socket unregistered", metadata: metadata(channel, label))
    }

    func notWithdrawn(_ channel: any Channel, from label: Label, _ error: any Error) {
        var metadata = metadata(channel, label)
        metadata["error"] =
            channel.isActive ? "\(error)" : "its channel was already closed: list the service after its server"
        logger?.warning("socket not unregistered", metadata: metadata)
    }

    func policyInForce(bindings: Int, changes: UInt64) {
        logger?.info("policy in force", metadata: ["bindings": "\(bindings)", "changes": "\(changes)"])
    }

    func notRead(_ error: any Error) {
        logger?.warning("counters not read; trying again", metadata: ["error": "\(error)"])
    }

    func readAgain() { logger?.info("counters read again") }

    private func metadata(_ channel: any Channel, _ label: Label) -> Logger.Metadata {
        ["label": "\(label)", "socket": "\(channel.originalDestination.map(String.init(describing:)) ?? "closed")"]
    }
    #else
    func registered(_ channel: any Channel, as label: Label) {}
    func withoutSocket(_ destinations: [Destination], of label: Label) {}
    func withdrawn(_ channel: any Channel, from label: Label) {}
    func notWithdrawn(_ channel: any Channel, from label: Label, _ error: any Error) {}
    func policyInForce(bindings: Int, changes: UInt64) {}
    func notRead(_ error: any Error) {}
    func readAgain() {}
    #endif
}
