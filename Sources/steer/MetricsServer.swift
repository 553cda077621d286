import CommandSupport
import Glibc
import MetricsHTTP
import Steering

/// Serves the metrics over HTTP.
struct MetricsServer {
    private let exporter: Exporter

    init(_ exporter: Exporter) { self.exporter = exporter }

    /// Serves until SIGINT, SIGTERM or SIGHUP.
    func serve(on address: SocketAddress) throws {
        // Blocks the signals before other threads exist, which would receive them.
        let interruption = BlockedSignals()
        signal(SIGPIPE, SIG_IGN)
        let listener = try listener(on: address)
        // Follow policy changes even without scrapes. Errors are ignored here, since the next scrape reports them.
        listener.everySecond { [exporter] in try? exporter.counter?.refresh() }
        print("serving http://\(listener.address)/metrics")
        fflush(nil)
        interruption.wait()
        listener.close()
    }

    private func listener(on address: SocketAddress) throws(SteeringError) -> MetricsListener {
        do throws(MetricsListener.Failure) {
            return try MetricsListener(on: address) { [exporter] in
                do throws(SteeringError) { return .counters(try exporter.text()) } catch {
                    return .unavailable(error.message)
                }
            }
        } catch {
            switch error {
            case .tooFewDescriptors: throw SteeringError(.systemCall, error.description)
            case .cannotBind:
                throw SteeringError(
                    .addressUnavailable, "cannot listen on \(address) (\(error)): choose another address or port")
            }
        }
    }
}
