import Hummingbird
import Logging
import ServiceLifecycle
import Steering
import SteeringNIO

/// A request context with the original destination: the address and port to which the client connected.
struct SteeredContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let asked: Steering.SocketAddress?

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        asked = source.channel.originalDestination
    }
}

@main
struct HummingbirdServer {
    static func main() async throws {
        let logger = Logger(label: "hummingbird-server")
        let steering = try SocketSteering.attach()
        try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24", "2001:db8:7::/64"), ports: [80])
        let service = SteeringService(steering.sockets, as: "web").logging(to: logger)

        let router = Router(context: SteeredContext.self)
        router.get("/") { _, context in context.asked.map { "you asked \($0)\n" } ?? "" }
        // One for each family; the address to bind to does not matter.
        let servers = ["127.0.0.1", "::1"].map { host in
            Application(
                router: router, configuration: .init(address: .hostname(host, port: 0)),
                onServerRunning: { service.add($0) }, logger: logger)
        }
        // Services shut down in reverse order: no new connections arrive while the servers finish their requests.
        try await ServiceGroup(
            services: servers + [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
        ).run()
        withExtendedLifetime(steering) {}
    }
}
