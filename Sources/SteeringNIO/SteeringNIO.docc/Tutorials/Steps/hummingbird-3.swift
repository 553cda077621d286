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
        try steering.bind("web", .tcp, to: PrefixPool("192.0.2.0/24"), ports: [80])
        let service = SteeringService(steering.sockets, as: "web").logging(to: logger)

        let router = Router(context: SteeredContext.self)
        router.get("/") { _, context in context.asked.map { "you asked \($0)\n" } ?? "" }
        let server = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { service.add($0) }, logger: logger)
        // Services shut down in reverse order: no new connections arrive while the server finishes its requests.
        try await ServiceGroup(
            services: [server, service], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
        ).run()
        withExtendedLifetime(steering) {}
    }
}
