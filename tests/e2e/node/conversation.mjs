// The conversation that every client here has with the gateway, and what it reports of it: as in
// ../clients/conversation.py.

function variable(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** As this client wants it: with or without `/v1`. */
export const baseURL = variable("WEIR_BASE_URL");
export const token = variable("WEIR_TOKEN");
export const model = variable("WEIR_MODEL");
/** The first asks for the weather, and tells the model simulator which tool calls to make. */
export const questions = [variable("WEIR_QUESTION"), variable("WEIR_FOLLOW_UP")];
export const region = "eu-west-1";
export const maxTokens = 2048;

export const toolName = "get_weather";
export const description = "The weather in a city now.";
export const schema = {
  type: "object",
  properties: { city: { type: "string", description: "Name of the city" } },
  required: ["city"],
  additionalProperties: false,
};

/** What happened; printed as one line of JSON. */
export class Report {
  cities = [];
  texts = [];
  pieces = 0;
  stops = [];
  usage = [];

  /** Notes a call of the tool, and answers it. */
  call(city) {
    this.cities.push(city);
    return `${city.length} degrees in ${city}`;
  }

  /** Notes how an answer ended. */
  answered(stop, inputTokens, outputTokens) {
    this.stops.push(stop);
    this.usage.push([inputTokens, outputTokens]);
  }

  print() {
    console.log(JSON.stringify(this));
  }
}
