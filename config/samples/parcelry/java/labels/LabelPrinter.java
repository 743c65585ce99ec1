package labels;

/** A device that prints shipping labels. */
public interface LabelPrinter {
    /** Dots per inch that every label is drawn with. */
    int LABEL_DPI = 203;

    /** Prints the label of one waybill. */
    void printLabel(String waybill) throws LabelJamException;

    /** Tells how many labels are left on the roll. */
    int remainingLabels();
}
