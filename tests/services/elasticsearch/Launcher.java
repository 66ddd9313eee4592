import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.Plugin;

/**
 * Runs one node with the modules of the class path: {@code Launcher HOME}, with its config in HOME/config.
 *
 * <p>It goes past the class Bootstrap: no security manager, no jar hell check, no bootstrap checks, and root may run
 * it. For tests on loopback only.
 */
final class Launcher {
    private static final List<Class<? extends Plugin>> MODULES = List.of(
        org.elasticsearch.transport.Netty4Plugin.class,
        DataStreams.class,
        org.elasticsearch.analysis.common.CommonAnalysisPlugin.class,
        org.elasticsearch.index.reindex.ReindexPlugin.class,
        org.elasticsearch.ingest.common.IngestCommonPlugin.class,
        org.elasticsearch.ingest.useragent.IngestUserAgentPlugin.class,
        org.elasticsearch.painless.PainlessPlugin.class,
        org.elasticsearch.script.expression.ExpressionPlugin.class,
        org.elasticsearch.script.mustache.MustachePlugin.class,
        org.elasticsearch.search.aggregations.matrix.MatrixAggregationPlugin.class,
        org.elasticsearch.index.mapper.MapperExtrasPlugin.class,
        org.elasticsearch.join.ParentJoinPlugin.class,
        org.elasticsearch.percolator.PercolatorPlugin.class,
        org.elasticsearch.index.rankeval.RankEvalPlugin.class
    );

    private static final class LocalNode extends Node {
        LocalNode(Environment environment) {
            super(environment, MODULES, true);
        }
    }

    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]);
        LogConfigurator.registerErrorListener();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            Settings.EMPTY, Map.of("path.home", home.toString()), home.resolve("config"), () -> "node");
        LogConfigurator.setNodeName("node");
        LogConfigurator.configure(environment);
        Node node = new LocalNode(environment);
        DataStreams.injector = node.injector();
        try {
            node.start();
        } catch (Throwable problem) {
            problem.printStackTrace();
            System.exit(1);
        }
        // It ends by a signal: nothing of it is kept.
        new CountDownLatch(1).await();
    }
}
