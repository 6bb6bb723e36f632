"""Where Dify's plugin daemon starts the plugin."""

# First of all imports: it patches the process for gevent, which must happen before anything loads ssl.
from dify_plugin import DifyPluginEnv, Plugin

# A tool call lives 600 s; a sub-app that answers in one piece is silent until it has ended, so waiting for it must not
# end before the run's own deadline of 540 s.
plugin = Plugin(DifyPluginEnv(MAX_INVOCATION_TIMEOUT=580, MAX_REQUEST_TIMEOUT=600))

if __name__ == "__main__":
    plugin.run()
