// The playground: GraphiQL with the story of a cloned voice in its tabs.
"use strict";

const tabs = [
  {
    query: `# Deadringer: clone a voice over the phone,
# then speak any text in it.
#
# The tabs tell the story in order: Ctrl-Enter runs one.
# The first icon on the left explains every field;
# docs/graphql.md has all this for curl, WebSockets, SSE.
#
# 1. Sign up. Your browser keeps the session. (Later: logIn.)
# Without Twilio any valid number will do, since the phone
# is on this machine: deadringer phone +14155552671

mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) {
    user { id email phone phoneProven }
    userErrors { field message code }
  }
}
`,
    variables: { input: { email: "ann@example.com", password: "at least 8 characters", phone: "+14155552671" } },
  },
  {
    query: `# 2. The phone rings. Press 1, or on a number's first call
# the 4 digits of confirmationCode. Speak for half a minute,
# press 1 to stop, and 1 to keep it.

mutation StartClone($input: StartCloneInput!) {
  startClone(input: $input) {
    clone { id status call { confirmationCode } }
    userErrors { field message code }
  }
}
`,
    variables: { input: { name: "My voice" } },
  },
  {
    query: `# 3. Follow it: put the clone's id into the variables.

subscription FollowClone($id: ID!) {
  clone(id: $id) {
    status
    call { status confirmationCode }
    recording { speechSeconds signalToNoiseDb warnings url }
    voice { id name similarity }
    failure { code message retryable }
  }
}
`,
    variables: { id: "" },
  },
  {
    query: `# 4. Your voices, and those that providers bring.

query Voices {
  viewer {
    email
    voices { edges { node { id name similarity } } }
  }
  voices(first: 10) { edges { node { id name origin provider { name } } } }
  providers { name title capabilities available unavailableReason }
}
`,
    variables: {},
  },
  {
    query: `# 5. Speak: put a voice's id into the variables.
# Hover over audioUrl in the answer to listen: it plays
# while it is being made.

mutation Speak($input: SynthesizeInput!) {
  synthesize(input: $input) {
    synthesis { id status audioUrl }
    userErrors { field message code }
  }
}
`,
    variables: { input: { voiceId: "", text: "Hello! This is my voice, and I never said this." } },
  },
];

function socketUrl() {
  const url = new URL(window.location.pathname, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.toString();
}

// A player in place of a long link.
function Player({ token }) {
  const text = token && token.string ? token.string.replace(/^"|"$/g, "") : "";
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !url.pathname.startsWith("/audio/")) return null;
  // From this host, whichever name it has been given in the link.
  return React.createElement("audio", { controls: true, autoPlay: true, src: url.pathname + url.search });
}

const fetcher = GraphiQL.createFetcher({ url: window.location.pathname, subscriptionUrl: socketUrl() });

const defaultTabs = tabs.map((tab) => ({ query: tab.query, variables: JSON.stringify(tab.variables, null, 2) }));
// GraphiQL forgets the variables of the first default tab, and must not be given them again once it keeps its own.
const variables = localStorage.getItem("graphiql:tabState") ? undefined : defaultTabs[0].variables;

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher,
    plugins: [GraphiQLPluginExplorer.explorerPlugin()],
    defaultTabs,
    variables,
    defaultEditorToolsVisibility: "variables",
    responseTooltip: Player,
    isHeadersEditorEnabled: true,
  }),
);
