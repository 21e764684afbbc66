"""An exchange, as the transport hands it over, into a row of the run file: plain computing that both towers share."""
