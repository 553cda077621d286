import Steering

/// What other threads tell the one that serves.
final class Control: Sendable {
    /// What they can tell: numbers that can be told many times and still be taken apart.
    enum Order: UInt64 {
        case stop = 1
        case reload = 0x1_0000_0000
    }

    private let wakeUp: WakeUp

    init() throws(SteeringError) { wakeUp = try WakeUp() }

    /// Readable when there is something.
    var rawValue: CInt { wakeUp.rawValue }

    func give(_ order: Order) { wakeUp.add(order.rawValue) }

    /// What was told since the last time.
    func take() -> (stop: Bool, reload: Bool) {
        let orders = wakeUp.take()
        return (orders & 0xffff_ffff != 0, orders >> 32 != 0)
    }
}
