import Glibc
import NIOCore
import NIOPosix

/// Returns why a connection or a listener failed, in the system's words instead of those of SwiftNIO's types.
package func reason(of error: any Error) -> String {
    switch error {
    case let error as IOError: String(cString: strerror(error.errnoCode))
    case let error as NIOConnectionError:
        error.connectionErrors.first.map { reason(of: $0.error) } ?? "its address is not known"
    case ChannelError.connectTimeout: "it did not answer in time"
    case is ChannelError: "the connection was closed"
    default: "\(error)"
    }
}
