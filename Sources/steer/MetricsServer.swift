import Glibc
import MetricsHTTP
import NIOCore
import Steering

/// Serves the counters over HTTP.
struct MetricsServer {
    private let metrics: MetricsText

    init(_ metrics: MetricsText) { self.metrics = metrics }

    /// Serves until SIGINT, SIGTERM or SIGHUP.
    func serve(on address: Steering.SocketAddress) throws {
        // Blocks the signals before other threads exist, which would receive them.
        let interruption = Interruption()
        signal(SIGPIPE, SIG_IGN)
        let listener: MetricsListener
        do {
            listener = try MetricsListener(on: address) { [metrics] in
                do throws(SteeringError) { return .counters(try metrics.text()) } catch {
                    return .unavailable(error.message)
                }
            }
        } catch let error as MetricsListener.TooFewDescriptors {
            throw SteeringError(.systemCall, error.description)
        } catch {
            let reason = (error as? IOError).map { describe(errno: $0.errnoCode) } ?? "\(error)"
            throw SteeringError(
                .addressUnavailable, "cannot listen on \(address) (\(reason)): choose another address or port")
        }
        // Follow policy changes even without scrapes. Errors are ignored here, since the next scrape reports them.
        listener.everySecond { [metrics] in try? metrics.counter?.refresh() }
        print("serving http://\(listener.address)/metrics")
        fflush(nil)
        interruption.wait()
        listener.close()
    }
}
