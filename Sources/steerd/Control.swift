import ServiceSupport
import Steering

/// Passes orders from other threads to the serving thread.
final class Control: Sendable {
    /// The orders, as numbers that remain distinguishable when many of them are added up.
    enum Order: UInt64 {
        case stop = 1
        case reload = 0x1_0000_0000
    }

    private let wakeUp: WakeUp

    init() throws(SteeringError) { wakeUp = try WakeUp() }

    /// Readable when there is an order.
    var rawValue: CInt { wakeUp.rawValue }

    func give(_ order: Order) { wakeUp.add(order.rawValue) }

    /// Returns the orders since the last call.
    func take() -> (stop: Bool, reload: Bool) {
        let orders = wakeUp.take()
        return (orders & 0xffff_ffff != 0, orders >> 32 != 0)
    }
}
