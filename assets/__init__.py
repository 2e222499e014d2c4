"""The Dagster side: thin assets that read, call one library function, write and report. The only package importing dagster."""
