import Glibc
import MetricsHTTP
import NIOCore
import Steering

/// Serves the counters over HTTP, until it is interrupted.
struct MetricsServer {
    private let metrics: MetricsText

    init(_ metrics: MetricsText) { self.metrics = metrics }

    /// Returns when the process is interrupted or terminated.
    func serve(on address: Steering.SocketAddress) throws {
        // Before there is another thread, which a signal could come to.
        let interruption = Interruption()
        signal(SIGPIPE, SIG_IGN)
        let listener: MetricsListener
        do {
            listener = try MetricsListener(on: address) { [metrics] in
                do throws(SteeringError) { return .counters(try metrics.text()) } catch {
                    return .unavailable(error.message)
                }
            }
        } catch {
            let reason = (error as? IOError).map { describe(errno: $0.errnoCode) } ?? "\(error)"
            throw SteeringError(
                .addressUnavailable, "cannot listen on \(address) (\(reason)): choose another address or port")
        }
        // Changes of the policy, also while nobody asks. What fails is told to those who do.
        listener.everySecond { [metrics] in try? metrics.counter?.keepUp() }
        print("serving http://\(listener.address)/metrics")
        fflush(nil)
        interruption.wait()
        listener.close()
    }
}
