import AddressPools
import CommandSupport
import Dispatch
import Documents
import Foundation
import Logging
import MetricsHTTP
import NIOCore
import NIOPosix
import SteeringDNS

/// The running server: threads for UDP, an event loop for TCP, a listener for the counters, and a watch on the policy
/// file.
struct Service {
    let server: NameServer
    let sockets: ServerSockets
    let policy: PolicyOptions
    /// Started before the policy was read; nil for standard input.
    let watched: WatchedPolicy?
    let times: PolicyTimes
    let metrics: AddressPools.SocketAddress?
    let limits: StreamLimits
    let signals: Signals
    let logger: Logger

    /// Runs the server, and returns after it was stopped and has ended.
    func run() throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let streams = try StreamServer(server, group, listeners: sockets.listeners, limits)
        let counters = try metrics.map { try listener(on: $0) }

        let ended = DispatchGroup()
        for (descriptor, isFromAnyAddress) in sockets.datagrams { startWorker(descriptor, isFromAnyAddress, ended) }
        let reloading = DispatchQueue(label: "reload")
        signals.obey(reload: { reloading.async { reload() } }, end: { [server] in server.stop() })
        watch(reloading)
        logger.info(
            "serving",
            metadata: [
                "sockets": "\(sockets.places.joined(separator: ", "))",
                "policies": "\(server.served.policies.policies.count)",
                "names": "\(server.served.policies.nameCount)",
            ])
        print("serving \(sockets.places.joined(separator: ", "))")
        if let counters { print("serving http://\(counters.address)/metrics") }
        fflush(nil)
        ServiceNotification.send("READY=1")

        ended.wait()
        ServiceNotification.send("STOPPING=1")
        streams.close()
        try? group.syncShutdownGracefully()
        counters?.close()
        logger.info("ended")
    }

    /// Answers the queries of a socket on a new thread.
    private func startWorker(_ descriptor: CInt, _ isFromAnyAddress: Bool, _ ended: DispatchGroup) {
        ended.enter()
        Thread.detachNewThread { [server, logger] in
            do {
                let socket = try ServerSocket.adoptDatagrams(descriptor, fromAnyAddress: isFromAnyAddress)
                var worker = try DatagramServer(socket, of: server)
                worker.run(server)
            } catch {
                logger.error("a worker has ended: \(error)")
                server.stop()
            }
            ended.leave()
        }
    }

    /// Serves the counters for Prometheus.
    private func listener(on address: AddressPools.SocketAddress) throws -> MetricsListener {
        do {
            return try MetricsListener(on: address) { [server, times] in
                .counters(Exporter(server, times.current).metrics.text)
            }
        } catch {
            throw CommandError("cannot serve the counters on \(address) (\(error)): choose another address or port")
        }
    }

    /// Reloads when the policy file, or a prefix or zone file that it names, changes.
    private func watch(_ reloading: DispatchQueue) {
        guard let watched else { return }
        Thread.detachNewThread { [self] in
            while true {
                watched.waitForChange()
                reloading.async { reload() }
            }
        }
    }

    /// Reads the policy file and puts it in force. If it is refused, the old policy stays in force.
    private func reload() {
        let began = ContinuousClock.now, reading = Date.now
        ServiceNotification.sendReloading()
        defer { ServiceNotification.send("READY=1") }
        do {
            let served = try policy.read(reusing: server.served)
            server.replace(with: served)
            for warning in served.warnings { logger.warning("\(warning)") }
            times.took(served.policies, readAt: reading)
            logger.info(
                "policy reloaded",
                metadata: [
                    "policies": "\(served.policies.policies.count)", "names": "\(served.policies.nameCount)",
                    "took": "\(ContinuousClock.now - began)",
                ])
        } catch {
            logger.error("the policy was not reloaded, and the old one stays in force: \(error)")
        }
    }
}
