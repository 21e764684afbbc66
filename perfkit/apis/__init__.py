"""APIs: request bodies of prompts, and what the messages of an answer carry."""
