package labels;

/** The printer cannot print a label. */
public class LabelJamException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Creates the failure with what the printer reported. */
    public LabelJamException(String message) {
        super(message);
    }
}
