// A Hummingbird server on every address of some prefixes, which responds with the original destination of the request:
//
//   sudo ip route add local 192.0.2.0/24 dev lo
//   cd Examples/hummingbird-server && swift build && sudo .build/debug/hummingbird-server --prefixes 192.0.2.0/24
//   curl http://192.0.2.77/
//
// Without privileges, if steerd is running and its policy allows this user to use the label "web":
//
//   .build/debug/hummingbird-server --steerd /run/steerd.sock
import Configuration
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
        // The options --prefixes, --ports and --steerd, or the environment variables PREFIXES, PORTS and STEERD.
        let settings = ConfigReader(providers: [CommandLineArgumentsProvider(), EnvironmentVariablesProvider()])
        let steerd = settings.string(forKey: "steerd")
        let logger = Logger(label: "hummingbird-server")

        // Only this part depends on whether this process or steerd does the steering.
        var steering: SocketSteering?
        if steerd == nil {
            let pool = try PrefixPool(parsing: settings.requiredStringArray(forKey: "prefixes"))
            let ports = try PortSet(settings.stringArray(forKey: "ports", default: ["80"]).joined(separator: ","))
            steering = try SocketSteering.attach()
            try steering?.bind("web", .tcp, to: pool, ports: ports)
        }
        let registry: any SocketRegistry = steering?.sockets ?? SteeringClient(steerd!)
        let service = SteeringService(
            registry, as: "web", replacing: true, onShutdown: steerd == nil ? .unregister : .keepRegistered
        ).logging(to: logger)

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
