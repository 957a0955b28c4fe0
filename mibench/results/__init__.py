"""Results without torch: records, the store, statistics, tables and figures."""
